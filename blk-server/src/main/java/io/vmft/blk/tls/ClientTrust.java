package io.vmft.blk.tls;

import java.io.IOException;
import java.net.Socket;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateException;
import java.security.cert.X509Certificate;
import javax.net.ssl.SSLEngine;
import javax.net.ssl.TrustManagerFactory;
import javax.net.ssl.X509ExtendedTrustManager;

/**
 * Believes the certificates of one authority, as the JDK does, but does not tell clients which one that is. GnuTLS (QEMU, libnbd) does not find
 * its RSA certificate by an authority's name where a server has no PKCS #1 signatures for TLS 1.3, as the JDK has not; asked for any
 * certificate, it shows the one it has.
 */
final class ClientTrust extends X509ExtendedTrustManager {
    private final X509ExtendedTrustManager trust;

    private ClientTrust(X509ExtendedTrustManager trust) {
        this.trust = trust;
    }

    static ClientTrust in(X509Certificate[] authority) throws GeneralSecurityException {
        try {
            KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
            store.load(null, null);
            for (int i = 0; i < authority.length; i++) {
                store.setCertificateEntry("authority" + i, authority[i]);
            }
            TrustManagerFactory factory = TrustManagerFactory.getInstance("PKIX");
            factory.init(store);
            return new ClientTrust((X509ExtendedTrustManager) factory.getTrustManagers()[0]);
        } catch (IOException e) {
            throw new IllegalStateException(e); // nothing is read
        }
    }

    @Override
    public X509Certificate[] getAcceptedIssuers() {
        return new X509Certificate[0];
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType) throws CertificateException {
        trust.checkClientTrusted(chain, authType);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType, Socket socket)
            throws CertificateException {
        trust.checkClientTrusted(chain, authType, socket);
    }

    @Override
    public void checkClientTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
            throws CertificateException {
        trust.checkClientTrusted(chain, authType, engine);
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType) throws CertificateException {
        throw new CertificateException("this side is the server");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType, Socket socket)
            throws CertificateException {
        throw new CertificateException("this side is the server");
    }

    @Override
    public void checkServerTrusted(X509Certificate[] chain, String authType, SSLEngine engine)
            throws CertificateException {
        throw new CertificateException("this side is the server");
    }
}
