package io.vmft.blk.tls;

import java.io.ByteArrayOutputStream;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A private key in a PEM file: PKCS#8, or what certtool and older openssl write, which Java knows only inside PKCS#8. Keys with a password
 * are refused: a server starts alone.
 */
final class PemKey {
    private static final Pattern BLOCK =
            Pattern.compile("-----BEGIN ((?:RSA |EC |ENCRYPTED )?PRIVATE KEY)-----([^-]*)-----END \\1-----");
    private static final HexFormat HEX = HexFormat.of();
    private static final byte[] VERSION_0 = HEX.parseHex("020100");
    /** rsaEncryption, without parameters. */
    private static final byte[] RSA = HEX.parseHex("300d06092a864886f70d0101010500");
    /** ecPublicKey; the curve follows. */
    private static final byte[] EC_PUBLIC_KEY = HEX.parseHex("06072a8648ce3d0201");

    private static final int SEQUENCE = 0x30;
    private static final int OCTETS = 0x04;
    private static final int EC_CURVE = 0xa0;

    private PemKey() {}

    /**
     * Reads the first key in {@code pem}.
     *
     * @throws GeneralSecurityException with a reason for the operator, if there is none or it is of a kind that cannot be used
     */
    static PrivateKey read(String pem) throws GeneralSecurityException {
        Matcher block = BLOCK.matcher(pem);
        if (!block.find()) {
            throw new InvalidKeySpecException("there is no private key in it");
        }
        byte[] der;
        try {
            der = Base64.getMimeDecoder().decode(block.group(2).strip());
        } catch (IllegalArgumentException e) {
            throw new InvalidKeySpecException("its private key is not whole", e);
        }
        return switch (block.group(1)) {
            case "PRIVATE KEY" -> anyOf(der);
            case "RSA PRIVATE KEY" -> KeyFactory.getInstance("RSA").generatePrivate(pkcs8(RSA, der));
            case "EC PRIVATE KEY" ->
                KeyFactory.getInstance("EC").generatePrivate(pkcs8(der(SEQUENCE, EC_PUBLIC_KEY, curve(der)), der));
            default -> throw new InvalidKeySpecException("its private key has a password; store it without one");
        };
    }

    private static PrivateKey anyOf(byte[] pkcs8) throws GeneralSecurityException {
        InvalidKeySpecException failure = new InvalidKeySpecException("its private key is of no kind that is known");
        for (String algorithm : new String[] {"RSA", "EC", "EdDSA", "RSASSA-PSS"}) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
            } catch (InvalidKeySpecException e) {
                failure.addSuppressed(e);
            }
        }
        throw failure;
    }

    private static PKCS8EncodedKeySpec pkcs8(byte[] algorithm, byte[] key) {
        return new PKCS8EncodedKeySpec(der(SEQUENCE, VERSION_0, algorithm, der(OCTETS, key)));
    }

    private static byte[] der(int tag, byte[]... parts) {
        int lengthBytes = Arrays.stream(parts).mapToInt(part -> part.length).sum();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(tag);
        if (lengthBytes >= 0x100) {
            out.write(0x82); // two bytes of length; a key has no more
            out.write(lengthBytes >> 8);
        } else if (lengthBytes >= 0x80) {
            out.write(0x81);
        }
        out.write(lengthBytes);
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    /**
     * The name of the curve in an RFC 5915 key: {@code SEQUENCE { version, OCTET STRING, [0] { curve }, … }}, an object identifier with its
     * header.
     */
    private static byte[] curve(byte[] key) throws InvalidKeySpecException {
        try {
            int at = start(key, 0);
            while (key[at] != (byte) EC_CURVE) {
                at = end(key, at);
            }
            return Arrays.copyOfRange(key, start(key, at), end(key, at));
        } catch (ArrayIndexOutOfBoundsException | IllegalArgumentException e) {
            throw new InvalidKeySpecException("its EC key does not name its curve; store it as PKCS#8", e);
        }
    }

    private static int start(byte[] der, int at) {
        return at + 2 + ((der[at + 1] & 0x80) == 0 ? 0 : der[at + 1] & 0x7f);
    }

    private static int end(byte[] der, int at) {
        int lengthBytes = der[at + 1] & 0xff;
        int start = start(der, at);
        if (lengthBytes >= 0x80) {
            lengthBytes = 0;
            for (int i = at + 2; i < start; i++) {
                lengthBytes = (lengthBytes << 8) | (der[i] & 0xff);
            }
        }
        if (start - at > 4) {
            throw new ArrayIndexOutOfBoundsException(at); // no part of a key is so long
        }
        return start + lengthBytes;
    }
}
