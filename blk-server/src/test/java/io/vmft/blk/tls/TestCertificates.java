package io.vmft.blk.tls;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.Signature;
import java.security.interfaces.ECPrivateKey;
import java.security.spec.ECGenParameterSpec;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.concurrent.ThreadLocalRandom;

/** A certificate authority for tests: X.509 v3 (RFC 5280) with P-256 keys, written out by hand so that any mistake can be made. */
public final class TestCertificates {
    private static final HexFormat HEX = HexFormat.of();
    private static final byte[] ECDSA_WITH_SHA256 = HEX.parseHex("300a06082a8648ce3d040302");
    private static final byte[] P256 = HEX.parseHex("301306072a8648ce3d020106082a8648ce3d030107");
    private static final byte[] COMMON_NAME = HEX.parseHex("0603550403");
    /** Basic constraints, critical: an authority. */
    private static final byte[] AUTHORITY = HEX.parseHex("300f0603551d130101ff040530030101ff");
    /** Alternative names: DNS localhost, IP 127.0.0.1, IP ::1. */
    private static final byte[] LOCALHOST = HEX.parseHex("302c0603551d1104253023" + "82096c6f63616c686f7374"
            + "87047f000001" + "871000000000000000000000000000000001");

    private static final DateTimeFormatter TIME =
            DateTimeFormatter.ofPattern("yyyyMMddHHmmss'Z'").withZone(ZoneOffset.UTC);

    private final String name;
    private final KeyPair keys = newKeys();
    private final String pem;

    public TestCertificates(String name) {
        this.name = name;
        this.pem = certificate(this, name, keys, Duration.ofDays(1), AUTHORITY);
    }

    /** A certificate and its key, in PEM. */
    public record Issued(String certificate, String key) {}

    public Issued issue(String commonName) {
        return issue(commonName, Duration.ofDays(1));
    }

    /** Valid for so long from now on; if that is negative, it ended so long ago. */
    public Issued issue(String commonName, Duration validity) {
        KeyPair own = newKeys();
        return new Issued(certificate(this, commonName, own, validity, LOCALHOST), pem("PRIVATE KEY", pkcs8(own)));
    }

    /** With the public key inside, as GnuTLS wants it. */
    private static byte[] pkcs8(KeyPair keys) {
        byte[] secret = ((ECPrivateKey) keys.getPrivate()).getS().toByteArray();
        byte[] fixed = new byte[32];
        int count = Math.min(32, secret.length);
        System.arraycopy(secret, secret.length - count, fixed, 32 - count, count);
        byte[] encoded = keys.getPublic().getEncoded();
        byte[] point = Arrays.copyOfRange(encoded, encoded.length - 66, encoded.length); // 00 04 x y
        byte[] key = der(0x30, HEX.parseHex("020101"), der(0x04, fixed), der(0xa1, der(0x03, point)));
        return der(0x30, HEX.parseHex("020100"), P256, der(0x04, key));
    }

    /** A folder as servers want it. */
    public Path serverFolder(Path folder) throws IOException {
        return serverFolder(folder, issue("server"));
    }

    public Path serverFolder(Path folder, Issued server) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("ca-cert.pem"), pem);
        Files.writeString(folder.resolve("server-cert.pem"), server.certificate());
        Files.writeString(folder.resolve("server-key.pem"), server.key());
        return folder;
    }

    /** A folder as clients want it: this authority is the one they believe. */
    public Path clientFolder(Path folder, Issued client) throws IOException {
        clientFolder(folder);
        Files.writeString(folder.resolve("client-cert.pem"), client.certificate());
        Files.writeString(folder.resolve("client-key.pem"), client.key());
        return folder;
    }

    /** A folder of a client without a certificate. */
    public Path clientFolder(Path folder) throws IOException {
        Files.createDirectories(folder);
        Files.writeString(folder.resolve("ca-cert.pem"), pem);
        return folder;
    }

    public String certificate() {
        return pem;
    }

    private static KeyPair newKeys() {
        try {
            KeyPairGenerator generator = KeyPairGenerator.getInstance("EC");
            generator.initialize(new ECGenParameterSpec("secp256r1"));
            return generator.generateKeyPair();
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static String certificate(
            TestCertificates issuer, String subject, KeyPair keys, Duration validity, byte[] extension) {
        Instant now = Instant.now();
        Instant end = now.plus(validity);
        Instant start = (end.isBefore(now) ? end : now).minus(Duration.ofHours(1));
        byte[] tbs = der(
                0x30,
                der(0xa0, HEX.parseHex("020102")),
                der(
                        0x02,
                        BigInteger.valueOf(ThreadLocalRandom.current().nextLong(1, Long.MAX_VALUE))
                                .toByteArray()),
                ECDSA_WITH_SHA256,
                name(issuer.name),
                der(0x30, time(start), time(end)),
                name(subject),
                keys.getPublic().getEncoded(),
                der(0xa3, der(0x30, extension)));
        try {
            Signature signature = Signature.getInstance("SHA256withECDSA");
            signature.initSign(issuer.keys.getPrivate());
            signature.update(tbs);
            byte[] bits = der(0x03, new byte[] {0}, signature.sign());
            return pem("CERTIFICATE", der(0x30, tbs, ECDSA_WITH_SHA256, bits));
        } catch (GeneralSecurityException e) {
            throw new IllegalStateException(e);
        }
    }

    private static byte[] name(String commonName) {
        byte[] text = der(0x0c, commonName.getBytes(StandardCharsets.UTF_8));
        return der(0x30, der(0x31, der(0x30, COMMON_NAME, text)));
    }

    private static byte[] time(Instant instant) {
        return der(0x18, TIME.format(instant).getBytes(StandardCharsets.US_ASCII));
    }

    static byte[] der(int tag, byte[]... parts) {
        ByteArrayOutputStream content = new ByteArrayOutputStream();
        for (byte[] part : parts) {
            content.writeBytes(part);
        }
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(tag);
        int lengthBytes = content.size();
        if (lengthBytes >= 0x100) {
            out.write(0x82);
            out.write(lengthBytes >> 8);
        } else if (lengthBytes >= 0x80) {
            out.write(0x81);
        }
        out.write(lengthBytes);
        out.writeBytes(content.toByteArray());
        return out.toByteArray();
    }

    static String pem(String kind, byte[] der) {
        return "-----BEGIN " + kind + "-----\n"
                + Base64.getMimeEncoder(64, new byte[] {'\n'}).encodeToString(der)
                + "\n-----END " + kind + "-----\n";
    }
}
