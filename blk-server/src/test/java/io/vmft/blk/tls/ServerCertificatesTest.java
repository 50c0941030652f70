package io.vmft.blk.tls;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPair;
import java.security.KeyPairGenerator;
import java.security.interfaces.ECPrivateKey;
import java.time.Duration;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Random;
import javax.security.auth.x500.X500Principal;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ServerCertificatesTest {
    @TempDir
    Path folder;

    private final TestCertificates authority = new TestCertificates("authority");

    private ServerCertificates load() throws IOException {
        return ServerCertificates.load(new TlsSettings(folder, true, false));
    }

    @Test
    void readsTheFilesAgainOnlyWhenTheyHaveChangedAndAreGood() throws IOException {
        authority.serverFolder(folder);
        ServerCertificates certificates = load();
        var first = certificates.current();
        assertThat(certificates.current()).isSameAs(first);
        Files.writeString(folder.resolve("server-cert.pem"), "nonsense");
        assertThat(certificates.current()).isSameAs(first);
        authority.serverFolder(folder);
        var second = certificates.current();
        assertThat(second).isNotSameAs(first);
        assertThat(certificates.current()).isSameAs(second);
    }

    @Test
    void saysWhichFileIsMissingOrWrong() throws IOException {
        assertThatThrownBy(this::load)
                .isInstanceOf(IOException.class)
                .hasMessage(
                        folder + "/ca-cert.pem is missing; TLS needs ca-cert.pem, server-cert.pem and server-key.pem");
        authority.serverFolder(folder);
        Files.writeString(
                folder.resolve("server-key.pem"), authority.issue("other").key());
        assertThatThrownBy(this::load)
                .hasMessage(folder + "/server-key.pem is not the key of " + folder + "/server-cert.pem");
        Files.writeString(folder.resolve("server-key.pem"), "");
        assertThatThrownBy(this::load).hasMessage(folder + "/server-key.pem: there is no private key in it");
        Files.writeString(folder.resolve("server-key.pem"), TestCertificates.pem("ENCRYPTED PRIVATE KEY", new byte[9]));
        assertThatThrownBy(this::load)
                .hasMessage(folder + "/server-key.pem: its private key has a password; store it without one");
        Files.writeString(folder.resolve("ca-cert.pem"), "");
        assertThatThrownBy(this::load).hasMessageStartingWith(folder + "/ca-cert.pem: ");
        Files.write(folder.resolve("ca-cert.pem"), new byte[(1 << 20) + 1]);
        assertThatThrownBy(this::load).hasMessageContaining("is longer than 1048576 bytes");
    }

    @Test
    void aCertificateThatHasExpiredIsNotUsed() throws IOException {
        authority.serverFolder(folder, authority.issue("server", Duration.ofMinutes(-1)));
        assertThatThrownBy(this::load)
                .hasMessageStartingWith(folder + "/server-cert.pem: it is not valid now: ")
                .hasMessageEndingWith("; make a new one");
    }

    private static KeyPair newKeys(String algorithm, int bits) throws Exception {
        KeyPairGenerator generator = KeyPairGenerator.getInstance(algorithm);
        if (bits > 0) {
            generator.initialize(bits);
        }
        return generator.generateKeyPair();
    }

    @Test
    void readsKeysAsToolsWriteThem() throws Exception {
        KeyPair rsa = newKeys("RSA", 2048);
        byte[] pkcs8 = rsa.getPrivate().getEncoded();
        byte[] pkcs1 = Arrays.copyOfRange(pkcs8, 26, pkcs8.length); // behind version and algorithm
        for (String pem : new String[] {
            TestCertificates.pem("PRIVATE KEY", pkcs8),
            TestCertificates.pem("RSA PRIVATE KEY", pkcs1),
            "Public Key Info:\n\tPublic Key Algorithm: RSA\n" + TestCertificates.pem("RSA PRIVATE KEY", pkcs1)
        }) {
            assertThat(PemKey.read(pem)).isEqualTo(rsa.getPrivate());
        }
        KeyPair ed25519 = newKeys("Ed25519", 0);
        assertThat(PemKey.read(
                        TestCertificates.pem("PRIVATE KEY", ed25519.getPrivate().getEncoded())))
                .isEqualTo(ed25519.getPrivate());
        for (int bits : new int[] {256, 384, 521}) {
            KeyPair ec = newKeys("EC", bits);
            ECPrivateKey key = (ECPrivateKey) ec.getPrivate();
            assertThat(PemKey.read(TestCertificates.pem("PRIVATE KEY", key.getEncoded())))
                    .isEqualTo(key);
            ECPrivateKey read = (ECPrivateKey) PemKey.read(TestCertificates.pem("EC PRIVATE KEY", rfc5915(key)));
            assertThat(read.getS()).isEqualTo(key.getS());
            assertThat(read.getParams()).isEqualTo(key.getParams());
        }
    }

    /** {@code SEQUENCE { 1, OCTET STRING key, [0] { curve } }} */
    private static byte[] rfc5915(ECPrivateKey key) {
        byte[] encoded = key.getEncoded();
        int curve = HexFormat.of().formatHex(encoded).indexOf("06072a8648ce3d0201") / 2 + 9;
        byte[] oid = Arrays.copyOfRange(encoded, curve, curve + 2 + encoded[curve + 1]);
        return TestCertificates.der(
                0x30,
                HexFormat.of().parseHex("020101"),
                TestCertificates.der(0x04, key.getS().toByteArray()),
                TestCertificates.der(0xa0, oid));
    }

    @Test
    void anEcKeyThatIsCutShortIsNoKey() throws Exception {
        byte[] whole = rfc5915((ECPrivateKey) newKeys("EC", 256).getPrivate());
        for (int bytes = 0; bytes < whole.length; bytes++) {
            String pem = TestCertificates.pem("EC PRIVATE KEY", Arrays.copyOf(whole, bytes));
            assertThatThrownBy(() -> PemKey.read(pem)).isInstanceOf(GeneralSecurityException.class);
        }
        Random random = new Random(1);
        for (int round = 0; round < 10_000; round++) {
            byte[] garbled = whole.clone();
            garbled[random.nextInt(garbled.length)] = (byte) random.nextInt();
            garbled[random.nextInt(8)] = (byte) random.nextInt();
            try {
                PemKey.read(TestCertificates.pem("EC PRIVATE KEY", garbled));
            } catch (GeneralSecurityException _) {
                // as it should be; some are keys all the same
            }
        }
    }

    @Test
    void aNameIsTheMostSpecificCommonNameAndFitsInALine() {
        assertThat(CertificateName.commonName(new X500Principal("CN=alice,O=example")))
                .isEqualTo("alice");
        assertThat(CertificateName.commonName(new X500Principal("CN=alice,CN=users,O=example")))
                .isEqualTo("alice");
        assertThat(CertificateName.commonName(new X500Principal("CN=\"a, CN=root\",O=example")))
                .isEqualTo("a, CN=root");
        assertThat(CertificateName.commonName(new X500Principal("O=example"))).isNull();
        assertThat(CertificateName.commonName(new X500Principal("CN=\" \""))).isNull();
        assertThat(CertificateName.commonName(new X500Principal("CN=a\\0Ab"))).isNull();
        assertThat(CertificateName.commonName(new X500Principal("CN=" + "a".repeat(257))))
                .isNull();
        assertThat(CertificateName.commonName(new X500Principal("CN=é"))).isEqualTo("é");
    }
}
