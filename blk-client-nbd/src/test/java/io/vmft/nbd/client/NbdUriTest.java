package io.vmft.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class NbdUriTest {
    private static NbdUri tcp(String host, int port, String export) {
        return new NbdUri(List.of(new NbdAddress.Tcp(host, port)), export, null);
    }

    @Test
    void readsTcp() {
        assertThat(NbdUri.parse("nbd://host:5000/vm1@7")).isEqualTo(tcp("host", 5000, "vm1@7"));
        assertThat(NbdUri.parse("nbd://host")).isEqualTo(tcp("host", 10809, ""));
        assertThat(NbdUri.parse("nbd://[::1]:5000/a%20b/c")).isEqualTo(tcp("::1", 5000, "a b/c"));
        assertThat(NbdUri.parse("nbd://host//disk").exportName()).isEqualTo("/disk");
    }

    @Test
    void readsUnixSockets() {
        assertThat(NbdUri.parse("nbd+unix:///disk?socket=/run/nbd+1.sock"))
                .isEqualTo(new NbdUri(List.of(new NbdAddress.Unix(Path.of("/run/nbd+1.sock"))), "disk", null));
        assertThat(NbdUri.parse("nbd+unix://?socket=/run/a%20b").addresses())
                .containsExactly(new NbdAddress.Unix(Path.of("/run/a b")));
    }

    @Test
    void readsSeveralServers() {
        assertThat(NbdUri.parse("nbd://a:5000,b,[::1]:7/vm1").addresses())
                .containsExactly(
                        new NbdAddress.Tcp("a", 5000), new NbdAddress.Tcp("b", 10809), new NbdAddress.Tcp("::1", 7));
        assertThat(NbdUri.parse("nbd+unix:///vm1?socket=/a&socket=/b").addresses())
                .hasSize(2);
    }

    @Test
    void readsTls() {
        assertThat(NbdUri.parse("nbds://host/x").tls()).isEqualTo(new TlsSettings(null, null, true));
        assertThat(NbdUri.parse("nbds://host/x?tls-certificates=/etc/pki&tls-hostname=other&tls-verify-peer=false")
                        .tls())
                .isEqualTo(new TlsSettings(Path.of("/etc/pki"), "other", false));
        assertThat(NbdUri.parse("nbd://host/x?tls-certificates=/etc/pki").tls()).isNull();
    }

    @Test
    void saysWhatIsMissing() {
        assertThatThrownBy(() -> NbdUri.parse("nbd+unix:///disk")).hasMessageContaining("names no socket");
        assertThatThrownBy(() -> NbdUri.parse("nbd:///disk")).hasMessageContaining("names no host");
        assertThatThrownBy(() -> NbdUri.parse("http://x/")).hasMessageContaining("is no NBD URI");
        assertThatThrownBy(() -> NbdUri.parse("nbd://a b/")).hasMessageContaining("\"a b\" is no host");
        assertThatThrownBy(() -> NbdUri.parse("nbd://a:99999/")).hasMessageContaining("99999 is no port");
        assertThatThrownBy(() -> NbdUri.parse("nbd+vsock://1/")).hasMessageContaining("no scheme nbd+vsock");
        assertThatThrownBy(() -> NbdUri.parse("nbd://a/%zz")).hasMessageContaining("hexadecimal");
        assertThatThrownBy(() -> NbdUri.parse("nbds://a/?tls-psk-file=x")).hasMessageContaining("tls-certificates");
        assertThatThrownBy(() -> NbdUri.parse("nbd://" + "a,".repeat(16) + "a/"))
                .hasMessageContaining("1 to 16");
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "nbd://host:5000/vm1@7",
                "nbd://a:1,[::1]:5000/",
                "nbd+unix:///d?socket=/s",
                "nbd+unix:///a%20b%3F?socket=/s%26t&socket=/u",
                "nbds://h:1/x?tls-certificates=/c%20d&tls-hostname=n&tls-verify-peer=false"
            })
    void comesBackAsItWas(String text) {
        assertThat(NbdUri.parse(text))
                .hasToString(text)
                .isEqualTo(NbdUri.parse(NbdUri.parse(text).toString()));
    }
}
