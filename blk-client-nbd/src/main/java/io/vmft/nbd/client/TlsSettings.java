package io.vmft.nbd.client;

import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * How a connection is encrypted, as libnbd's URIs say it. Files are read at each connection.
 *
 * @param certificates a folder with {@code ca-cert.pem}, whom to trust, and, to show who this is, {@code client-cert.pem} and
 *     {@code client-key.pem}; null: whom the Java platform trusts
 * @param serverName what the server's certificate must be made out to; null: the host that was connected to, or
 *     {@code localhost} for a unix socket
 * @param verified whether the server's certificate is checked; if not, anyone in between can read and change everything
 */
public record TlsSettings(
        @Nullable Path certificates, @Nullable String serverName, boolean verified) {}
