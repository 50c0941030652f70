package io.vmft.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class NbdUriTest {
    @Test
    void readsTcp() {
        assertThat(NbdUri.parse("nbd://host:5000/vm1@7")).isEqualTo(new NbdUri("host", 5000, null, "vm1@7"));
        assertThat(NbdUri.parse("nbd://host")).isEqualTo(new NbdUri("host", 10809, null, ""));
        assertThat(NbdUri.parse("nbd://[::1]:5000/a%20b/c")).isEqualTo(new NbdUri("::1", 5000, null, "a b/c"));
    }

    @Test
    void readsUnixSockets() {
        assertThat(NbdUri.parse("nbd+unix:///disk?socket=/run/nbd+1.sock"))
                .isEqualTo(new NbdUri("", 0, Path.of("/run/nbd+1.sock"), "disk"));
        assertThat(NbdUri.parse("nbd+unix://?socket=/run/a%20b").socket()).isEqualTo(Path.of("/run/a b"));
    }

    @Test
    void saysWhatIsMissing() {
        assertThatThrownBy(() -> NbdUri.parse("nbd+unix:///disk")).hasMessageContaining("names no socket");
        assertThatThrownBy(() -> NbdUri.parse("nbd:///disk")).hasMessageContaining("names no host");
        assertThatThrownBy(() -> NbdUri.parse("http://x/")).hasMessageContaining("is no NBD URI");
        assertThatThrownBy(() -> NbdUri.parse("nbd://a b/")).hasMessageContaining("is no URI");
    }

    @Test
    void comesBackAsItWas() {
        for (String text : new String[] {"nbd://host:5000/vm1@7", "nbd://[::1]:5000/", "nbd+unix:///d?socket=/s"}) {
            assertThat(NbdUri.parse(text)).hasToString(text);
        }
    }
}
