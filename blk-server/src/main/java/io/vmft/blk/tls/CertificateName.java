package io.vmft.blk.tls;

import java.security.Principal;
import javax.naming.InvalidNameException;
import javax.naming.ldap.LdapName;
import javax.naming.ldap.Rdn;
import javax.net.ssl.SSLPeerUnverifiedException;
import javax.net.ssl.SSLSession;
import org.jspecify.annotations.Nullable;

/**
 * The name in a peer's certificate: its subject's common name, of several the most specific. Alternative names are for servers, which
 * have addresses; they are not looked at.
 */
public final class CertificateName {
    private static final int MAX_CHARS = 256;

    private CertificateName() {}

    /** The name in the certificate the peer was verified by; null if it showed none or there is no usable name in it. */
    public static @Nullable String ofPeer(SSLSession session) {
        try {
            return commonName(session.getPeerPrincipal());
        } catch (SSLPeerUnverifiedException _) {
            return null;
        }
    }

    /** Names go into messages of one line: what would break them is no name. */
    static @Nullable String commonName(Principal subject) {
        @Nullable String name = null;
        try {
            for (Rdn part : new LdapName(subject.getName()).getRdns()) { // from the least specific on
                if (part.getType().equalsIgnoreCase("CN") && part.getValue() instanceof String value) {
                    name = value;
                }
            }
        } catch (InvalidNameException _) {
            return null;
        }
        boolean usable = name != null
                && !name.isBlank()
                && name.length() <= MAX_CHARS
                && name.chars().noneMatch(Character::isISOControl);
        return usable ? name : null;
    }
}
