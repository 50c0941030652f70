package io.vmft.blk.tls;

import io.netty.handler.ssl.ClientAuth;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.GeneralSecurityException;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.Signature;
import java.security.cert.CertificateExpiredException;
import java.security.cert.CertificateFactory;
import java.security.cert.CertificateNotYetValidException;
import java.security.cert.X509Certificate;
import java.util.List;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A server's certificate and key, and the authority its clients' certificates must be from. TLS 1.2 and 1.3. Thread-safe.
 *
 * <p>The files may be replaced while the server runs: connections that begin later use the new ones. Files that cannot be used are
 * reported and change nothing.
 */
public final class ServerCertificates {
    private static final Logger LOG = LoggerFactory.getLogger(ServerCertificates.class);

    private static final String AUTHORITY = "ca-cert.pem";
    private static final String CERTIFICATE = "server-cert.pem";
    private static final String KEY = "server-key.pem";
    private static final long MAX_FILE_BYTES = 1 << 20;
    /** NBD connections live long: whoever comes again after this shows its certificate again. */
    private static final long RESUMPTION_SECONDS = 60;

    static {
        // A client could make a server work for it again and again, and nothing of NBD needs it. Read by the JDK at its
        // first handshake.
        System.setProperty("jdk.tls.rejectClientInitiatedRenegotiation", "true");
    }

    private final TlsSettings settings;
    private List<Object> versions;
    private SslContext context;

    private ServerCertificates(TlsSettings settings, List<Object> versions, SslContext context) {
        this.settings = settings;
        this.versions = versions;
        this.context = context;
    }

    /**
     * Reads the files for the first time.
     *
     * @throws IOException with one line for the operator
     */
    public static ServerCertificates load(TlsSettings settings) throws IOException {
        List<Object> versions = versions(settings.certificates());
        return new ServerCertificates(settings, versions, context(settings));
    }

    /** What a connection that begins now uses. Reads files: blocks. */
    public synchronized SslContext current() {
        try {
            List<Object> found = versions(settings.certificates());
            if (!found.equals(versions)) {
                versions = found; // also if they are no good: that is said once
                context = context(settings);
                LOG.info("TLS: {} was read again", settings.certificates());
            }
        } catch (IOException e) {
            LOG.warn("TLS goes on with the certificates it has: {}", e.getMessage());
        }
        return context;
    }

    /** What tells the files from those that were there before. */
    private static List<Object> versions(Path folder) throws IOException {
        return List.of(
                version(folder.resolve(AUTHORITY)), version(folder.resolve(CERTIFICATE)), version(folder.resolve(KEY)));
    }

    private static Object version(Path file) throws IOException {
        try {
            BasicFileAttributes attributes = Files.readAttributes(file, BasicFileAttributes.class);
            return List.of(attributes.lastModifiedTime(), attributes.size(), String.valueOf(attributes.fileKey()));
        } catch (NoSuchFileException e) {
            return "missing";
        }
    }

    private static byte[] read(Path file) throws IOException {
        try {
            if (Files.size(file) > MAX_FILE_BYTES) {
                throw new IOException(file + " is longer than " + MAX_FILE_BYTES + " bytes: no certificate is");
            }
            return Files.readAllBytes(file);
        } catch (NoSuchFileException e) {
            throw new IOException(file + " is missing; TLS needs " + AUTHORITY + ", " + CERTIFICATE + " and " + KEY, e);
        }
    }

    private static SslContext context(TlsSettings settings) throws IOException {
        Path folder = settings.certificates();
        X509Certificate[] authority = certificates(folder.resolve(AUTHORITY));
        X509Certificate[] chain = certificates(folder.resolve(CERTIFICATE));
        PrivateKey key = key(folder.resolve(KEY));
        checkMatch(folder, chain[0], key);
        try {
            return SslContextBuilder.forServer(key, chain)
                    .sslProvider(SslProvider.JDK)
                    .trustManager(ClientTrust.in(authority))
                    .clientAuth(settings.verifyPeer() ? ClientAuth.REQUIRE : ClientAuth.OPTIONAL)
                    .protocols("TLSv1.3", "TLSv1.2")
                    .sessionTimeout(RESUMPTION_SECONDS)
                    .build();
        } catch (IOException | GeneralSecurityException | IllegalArgumentException e) {
            throw new IOException(folder + ": TLS cannot be set up with it: " + e.getMessage(), e);
        }
    }

    private static X509Certificate[] certificates(Path file) throws IOException {
        try {
            X509Certificate[] found =
                    CertificateFactory.getInstance("X.509")
                            .generateCertificates(new ByteArrayInputStream(read(file)))
                            .stream()
                            .map(X509Certificate.class::cast)
                            .toArray(X509Certificate[]::new);
            if (found.length == 0) {
                throw new IOException(file + ": there is no certificate in it");
            }
            found[0].checkValidity();
            return found;
        } catch (CertificateExpiredException | CertificateNotYetValidException e) {
            throw new IOException(file + ": it is not valid now: " + e.getMessage() + "; make a new one", e);
        } catch (GeneralSecurityException e) {
            throw new IOException(file + ": it is no certificate: " + e.getMessage(), e);
        }
    }

    private static PrivateKey key(Path file) throws IOException {
        try {
            return PemKey.read(new String(read(file), StandardCharsets.ISO_8859_1));
        } catch (GeneralSecurityException e) {
            throw new IOException(file + ": " + e.getMessage(), e);
        }
    }

    private static void checkMatch(Path folder, X509Certificate certificate, PrivateKey key) throws IOException {
        boolean match;
        try {
            match = verifies(key, certificate.getPublicKey());
        } catch (GeneralSecurityException _) {
            match = false; // keys of different kinds
        }
        if (!match) {
            throw new IOException(folder.resolve(KEY) + " is not the key of " + folder.resolve(CERTIFICATE));
        }
    }

    private static boolean verifies(PrivateKey key, PublicKey publicKey) throws GeneralSecurityException {
        String algorithm = switch (key.getAlgorithm()) {
            case "EC" -> "SHA256withECDSA";
            case "RSA" -> "SHA256withRSA";
            default -> key.getAlgorithm();
        };
        byte[] probe = {1, 2, 3};
        Signature signature = Signature.getInstance(algorithm);
        signature.initSign(key);
        signature.update(probe);
        byte[] signed = signature.sign();
        signature.initVerify(publicKey);
        signature.update(probe);
        return signature.verify(signed);
    }
}
