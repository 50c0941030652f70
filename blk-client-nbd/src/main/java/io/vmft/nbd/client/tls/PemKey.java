package io.vmft.nbd.client.tls;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.NoSuchAlgorithmException;
import java.security.PrivateKey;
import java.security.spec.InvalidKeySpecException;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * A private key from a PEM file: PKCS #8 (RFC 5958), or the older forms that certtool and openssl write for RSA (RFC 8017, appendix
 * A.1.2) and elliptic curves (RFC 5915), which become PKCS #8 by a wrapping.
 */
final class PemKey {
    private static final Pattern BLOCK =
            Pattern.compile("-----BEGIN ((?:[A-Z]+ )?PRIVATE KEY)-----([A-Za-z0-9+/=\\s]+)-----END \\1-----");
    /** A key is a few kilobytes; certtool writes a text before it. */
    private static final int MAX_FILE_BYTES = 1 << 20;
    /** {@code SEQUENCE { OID rsaEncryption, NULL }} */
    private static final byte[] RSA_ALGORITHM = HexFormat.of().parseHex("300d06092a864886f70d0101010500");
    /** {@code OID ecPublicKey} */
    private static final byte[] EC_ALGORITHM = HexFormat.of().parseHex("06072a8648ce3d0201");

    private static final byte[] VERSION_0 = {2, 1, 0};
    private static final int SEQUENCE = 0x30;
    private static final int OCTET_STRING = 0x04;
    /** {@code [0]}: in an elliptic curve's key, its parameters. */
    private static final int CONTEXT_0 = 0xa0;

    private PemKey() {}

    /** @throws IOException if there is none, or it is encrypted or of an unknown kind; one line that names the file */
    static PrivateKey read(Path file) throws IOException {
        if (Files.size(file) > MAX_FILE_BYTES) {
            throw new IOException(file + " is too long for a private key");
        }
        Matcher block = BLOCK.matcher(Files.readString(file, StandardCharsets.ISO_8859_1));
        if (!block.find()) {
            throw new IOException(
                    file + " holds no private key in PEM, or an encrypted one; give it without a password");
        }
        try {
            byte[] der = Base64.getMimeDecoder().decode(block.group(2));
            return decode(
                    switch (block.group(1)) {
                        case "PRIVATE KEY" -> der;
                        case "RSA PRIVATE KEY" -> wrap(RSA_ALGORITHM, der);
                        case "EC PRIVATE KEY" -> wrap(tagged(SEQUENCE, EC_ALGORITHM, curve(der)), der);
                        default -> throw new IOException(file + ": cannot use a " + block.group(1));
                    });
        } catch (IllegalArgumentException | IndexOutOfBoundsException e) {
            throw new IOException(file + " is damaged: " + e.getMessage(), e);
        } catch (InvalidKeySpecException e) {
            throw new IOException(file + " holds no RSA, elliptic curve or Edwards curve key", e);
        }
    }

    private static byte[] wrap(byte[] algorithm, byte[] key) {
        return tagged(SEQUENCE, VERSION_0, algorithm, tagged(OCTET_STRING, key));
    }

    /** The content of the key's {@code [0]}: which curve it is on. */
    private static byte[] curve(byte[] key) {
        int position = contentStart(key, 0); // into the sequence
        while (position < key.length) {
            int content = contentStart(key, position);
            int length = contentLength(key, position);
            if ((key[position] & 0xff) == CONTEXT_0) {
                return java.util.Arrays.copyOfRange(key, content, content + length);
            }
            position = content + length;
        }
        throw new IllegalArgumentException("the key does not say which curve it is on");
    }

    private static int contentStart(byte[] der, int position) {
        int first = der[position + 1] & 0xff;
        return position + 2 + (first < 0x80 ? 0 : first & 0x7f);
    }

    private static int contentLength(byte[] der, int position) {
        int first = der[position + 1] & 0xff;
        if (first < 0x80) {
            return first;
        }
        int length = 0;
        for (int i = 0; i < (first & 0x7f); i++) {
            length = (length << 8) | (der[position + 2 + i] & 0xff);
        }
        if (length < 0 || length > der.length) {
            throw new IllegalArgumentException("a length in it is wrong");
        }
        return length;
    }

    private static byte[] tagged(int tag, byte[]... parts) {
        int length = List.of(parts).stream().mapToInt(part -> part.length).sum();
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(tag);
        if (length < 0x80) {
            out.write(length);
        } else {
            int bytes = (32 - Integer.numberOfLeadingZeros(length) + 7) / 8;
            out.write(0x80 | bytes);
            for (int i = bytes - 1; i >= 0; i--) {
                out.write(length >>> (8 * i));
            }
        }
        for (byte[] part : parts) {
            out.writeBytes(part);
        }
        return out.toByteArray();
    }

    private static PrivateKey decode(byte[] pkcs8) throws InvalidKeySpecException {
        InvalidKeySpecException last = new InvalidKeySpecException("no algorithm");
        for (String algorithm : List.of("RSA", "EC", "EdDSA")) {
            try {
                return KeyFactory.getInstance(algorithm).generatePrivate(new PKCS8EncodedKeySpec(pkcs8));
            } catch (InvalidKeySpecException e) {
                last = e;
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException("every Java platform knows " + algorithm, e);
            }
        }
        throw last;
    }
}
