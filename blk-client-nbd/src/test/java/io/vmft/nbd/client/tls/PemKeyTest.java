package io.vmft.nbd.client.tls;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyPairGenerator;
import java.security.PrivateKey;
import java.util.Arrays;
import java.util.Base64;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PemKeyTest {
    @TempDir
    Path folder;

    private Path pem(String kind, byte[] der) throws IOException {
        return Files.writeString(
                folder.resolve("key.pem"),
                "what certtool says about it\n-----BEGIN %s-----\n%s\n-----END %s-----\n"
                        .formatted(kind, Base64.getMimeEncoder().encodeToString(der), kind));
    }

    @ParameterizedTest
    @ValueSource(strings = {"RSA", "EC", "Ed25519"})
    void readsPkcs8(String algorithm) throws GeneralSecurityException, IOException {
        PrivateKey key =
                KeyPairGenerator.getInstance(algorithm).generateKeyPair().getPrivate();
        assertThat(PemKey.read(pem("PRIVATE KEY", key.getEncoded()))).isEqualTo(key);
    }

    @Test
    void readsTheOlderFormOfRsa() throws GeneralSecurityException, IOException {
        KeyPairGenerator generator = KeyPairGenerator.getInstance("RSA");
        generator.initialize(2048);
        PrivateKey key = generator.generateKeyPair().getPrivate();
        // PKCS #8 of such a key ends with the older form: after version, algorithm and the header of an octet string.
        byte[] inner = Arrays.copyOfRange(key.getEncoded(), 26, key.getEncoded().length);
        assertThat(PemKey.read(pem("RSA PRIVATE KEY", inner))).isEqualTo(key);
    }

    @Test
    void saysWhatIsWrong() throws IOException {
        Path nothing = Files.writeString(folder.resolve("x.pem"), "hello");
        assertThatThrownBy(() -> PemKey.read(nothing)).hasMessageContaining("x.pem holds no private key");
        Path damaged = pem("PRIVATE KEY", new byte[] {1, 2, 3});
        assertThatThrownBy(() -> PemKey.read(damaged)).hasMessageContaining("holds no RSA");
        Path cut = pem("EC PRIVATE KEY", new byte[] {0x30, 0x77, 2, 1, 1, 4, 0x20});
        assertThatThrownBy(() -> PemKey.read(cut))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("key.pem");
    }
}
