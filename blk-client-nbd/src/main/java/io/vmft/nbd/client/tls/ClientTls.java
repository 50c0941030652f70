package io.vmft.nbd.client.tls;

import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import io.netty.handler.ssl.util.InsecureTrustManagerFactory;
import io.vmft.nbd.client.TlsSettings;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.security.cert.X509Certificate;
import org.jspecify.annotations.Nullable;

/** What Netty needs for one connection's TLS, 1.2 or newer. */
public final class ClientTls {
    private ClientTls() {}

    /**
     * Reads the certificates. Blocks for some milliseconds.
     *
     * @throws IOException one line that names the file and what is wrong with it
     */
    public static SslContext context(TlsSettings settings) throws IOException {
        SslContextBuilder builder = SslContextBuilder.forClient()
                .sslProvider(SslProvider.JDK)
                .protocols("TLSv1.3", "TLSv1.2")
                .endpointIdentificationAlgorithm(settings.verified() ? "HTTPS" : null);
        Path folder = settings.certificates();
        if (folder != null) {
            builder.trustManager(certificates(folder.resolve("ca-cert.pem")));
            identify(builder, folder);
        }
        if (!settings.verified()) {
            builder.trustManager(InsecureTrustManagerFactory.INSTANCE);
        }
        return builder.build();
    }

    private static void identify(SslContextBuilder builder, Path folder) throws IOException {
        Path certificate = folder.resolve("client-cert.pem");
        Path key = folder.resolve("client-key.pem");
        if (Files.exists(certificate) != Files.exists(key)) {
            throw new IOException((Files.exists(key) ? certificate : key) + " is missing; put it there, or remove "
                    + (Files.exists(key) ? key : certificate));
        }
        if (Files.exists(key)) {
            builder.keyManager(PemKey.read(key), certificates(certificate));
        }
    }

    private static X509Certificate[] certificates(Path file) throws IOException {
        if (!Files.isReadable(file)) {
            throw new IOException(file + " cannot be read; tls-certificates names the folder with ca-cert.pem");
        }
        try (InputStream in = Files.newInputStream(file)) {
            X509Certificate[] certificates = CertificateFactory.getInstance("X.509").generateCertificates(in).stream()
                    .map(X509Certificate.class::cast)
                    .toArray(X509Certificate[]::new);
            if (certificates.length == 0) {
                throw new IOException(file + " holds no certificate in PEM");
            }
            return certificates;
        } catch (CertificateException e) {
            throw new IOException(file + " holds no certificate in PEM: " + e.getMessage(), e);
        }
    }

    /** The name the server's certificate must be made out to. */
    public static String serverName(TlsSettings settings, @Nullable String host) {
        if (settings.serverName() != null) {
            return settings.serverName();
        }
        return host == null ? "localhost" : host;
    }
}
