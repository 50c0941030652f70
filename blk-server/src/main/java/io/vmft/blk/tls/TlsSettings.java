package io.vmft.blk.tls;

import java.nio.file.Path;

/**
 * How a server's connections are encrypted.
 *
 * @param certificates the folder with {@code ca-cert.pem}, {@code server-cert.pem} and {@code server-key.pem}, as QEMU, nbdkit and libnbd
 *     call them
 * @param required whether clients without TLS are refused; otherwise it is offered to those that want it
 * @param verifyPeer whether clients must show a certificate; one that is shown is verified in any case
 */
public record TlsSettings(Path certificates, boolean required, boolean verifyPeer) {}
