package io.vmft.blk.nbd;

import io.vmft.blk.tls.TestCertificates;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import javax.net.ssl.KeyManagerFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;
import org.jspecify.annotations.Nullable;

/** What a test's client believes and shows, for the JDK's own TLS. */
final class ClientTls {
    private static final char[] NO_PASSWORD = new char[0];

    private ClientTls() {}

    /**
     * A client's TLS.
     *
     * @param authority certificate of the authority that the server's must be from
     * @param own null: it shows none
     */
    static SSLContext context(String authority, TestCertificates.@Nullable Issued own) {
        try {
            KeyStore trusted = empty();
            trusted.setCertificateEntry("authority", certificate(authority));
            TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
            trust.init(trusted);
            KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
            KeyStore shown = empty();
            if (own != null) {
                byte[] key = Base64.getMimeDecoder().decode(own.key().replaceAll("-----[^-]*-----", ""));
                shown.setKeyEntry(
                        "own",
                        KeyFactory.getInstance("EC").generatePrivate(new PKCS8EncodedKeySpec(key)),
                        NO_PASSWORD,
                        new Certificate[] {certificate(own.certificate())});
            }
            keys.init(shown, NO_PASSWORD);
            SSLContext context = SSLContext.getInstance("TLS");
            context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
            return context;
        } catch (GeneralSecurityException | IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private static KeyStore empty() throws GeneralSecurityException, IOException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        return store;
    }

    private static Certificate certificate(String pem) throws GeneralSecurityException {
        return CertificateFactory.getInstance("X.509")
                .generateCertificate(new ByteArrayInputStream(pem.getBytes(StandardCharsets.US_ASCII)));
    }
}
