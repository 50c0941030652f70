package io.vmft.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class QuantityTest {
    @ParameterizedTest
    @CsvSource({"256M,268435456", "2G,2147483648", "64MiB,67108864", "1k,1024", "4096,4096", "1T,1099511627776", "0,0"})
    void readsSizes(String text, long bytes) {
        assertThat(Quantity.parseSize(text)).isEqualTo(bytes);
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "M", "-1M", "1.5G", "256 X", "9999999999999999", "99999999T", "1e9", "0x10"})
    void refusesWhatIsNoSize(String text) {
        assertThatThrownBy(() -> Quantity.parseSize(text)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void readsDurations() {
        assertThat(Quantity.parseDuration("25ms")).isEqualTo(Duration.ofMillis(25));
        assertThat(Quantity.parseDuration("1s")).isEqualTo(Duration.ofSeconds(1));
        assertThat(Quantity.parseDuration("500 us")).isEqualTo(Duration.ofNanos(500_000));
        assertThat(Quantity.parseDuration("2m")).isEqualTo(Duration.ofMinutes(2));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "25", "ms", "-1s", "1h", "1.5s"})
    void refusesWhatIsNoDuration(String text) {
        assertThatThrownBy(() -> Quantity.parseDuration(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("25ms");
    }

    @ParameterizedTest
    @CsvSource({"268435456,256 MiB", "1000,1000 bytes", "2147483648,2 GiB", "0,0 bytes", "1536,1536 bytes"})
    void saysSizesWithoutLoss(long bytes, String words) {
        assertThat(Quantity.sizeInWords(bytes)).isEqualTo(words);
    }
}
