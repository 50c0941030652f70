package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

class ListenAddressTest {
    @Test
    void readsWhatAnOperatorWrites() {
        assertThat(ListenAddress.parse("host:5000")).isEqualTo(new ListenAddress.Tcp("host", 5000));
        assertThat(ListenAddress.parse(":5000")).isEqualTo(new ListenAddress.Tcp("", 5000));
        assertThat(ListenAddress.parse("[::1]:0")).isEqualTo(new ListenAddress.Tcp("::1", 0));
        assertThat(ListenAddress.parse("unix:/run/nbd")).isEqualTo(new ListenAddress.Unix(Path.of("/run/nbd"), 0600));
        assertThat(ListenAddress.parse("unix:/run/nbd,mode=0660"))
                .isEqualTo(new ListenAddress.Unix(Path.of("/run/nbd"), 0660));
    }

    @Test
    void saysWhatIsWrong() {
        assertThatThrownBy(() -> ListenAddress.parse("host")).hasMessageContaining("is not HOST:PORT");
        assertThatThrownBy(() -> ListenAddress.parse("host:http")).hasMessageContaining("not a number");
        assertThatThrownBy(() -> ListenAddress.parse("host:70000")).hasMessageContaining("not between 0 and 65535");
        assertThatThrownBy(() -> ListenAddress.parse("::1:5000")).hasMessageContaining("in brackets");
        assertThatThrownBy(() -> ListenAddress.parse("unix:")).hasMessageContaining("needs a path");
        assertThatThrownBy(() -> ListenAddress.parse("unix:/s,mode=9")).hasMessageContaining("octal");
        assertThatThrownBy(() -> ListenAddress.parse("unix:/" + "a".repeat(107)))
                .hasMessageContaining("longer than");
    }

    @Test
    void givesUris() {
        assertThat(ListenAddress.parse(":5000").uri("vm1@7")).isEqualTo("nbd://localhost:5000/vm1@7");
        assertThat(ListenAddress.parse("[::1]:1").uri("a b")).isEqualTo("nbd://[::1]:1/a%20b");
        assertThat(ListenAddress.parse("unix:/s").uri("disk")).isEqualTo("nbd+unix:///disk?socket=/s");
    }
}
