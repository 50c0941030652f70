package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VolumeSpecTest {
    @Test
    void readsWhatAnOperatorWrites() {
        assertThat(VolumeSpec.parse("a=/x")).isEqualTo(VolumeSpec.existing("a", Path.of("/x")));
        assertThat(VolumeSpec.parse("a=/x,create=20G")).isEqualTo(VolumeSpec.created("a", Path.of("/x"), 20L << 30));
        assertThat(VolumeSpec.parse("a=/x,size=1M")).isEqualTo(VolumeSpec.parse("a=/x,create=1M"));
        assertThat(VolumeSpec.parse("a=/x,readonly,allow=h1,allow=h2"))
                .isEqualTo(new VolumeSpec("a", Path.of("/x"), 0, true, false, "", Set.of("h1", "h2")));
    }

    @Test
    void aPathMayHoldCommasAndEqualsSigns() {
        assertThat(VolumeSpec.parse("a=/x,y=1,readonly").image()).isEqualTo(Path.of("/x,y=1"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "a                        | is not NAME=IMAGE",
                "a=                       | is not NAME=IMAGE",
                "=x                       | is not NAME=IMAGE",
                "a@1=x                    | volume name 'a@1' is not",
                "a=x,create=20X           | is not a size",
                "a=x,create=0             | is too small",
                "a=x,create=1M,size=1M    | its size is given twice",
                "a=x,allow=               | an empty name",
            })
    void saysWhatIsWrong(String text, String complaint) {
        assertThatThrownBy(() -> VolumeSpec.parse(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(complaint);
    }
}
