package io.vmft.engine.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class CpuListTest {
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {"0|0", "0-3|0-3", "3,0|0,3", "1,2,3|1-3", "0-1,4-5,5-7|0-1,4-7", "0 - 1 , 3|0-1,3", "8191|8191"})
    void writesWhatItRead(String text, String canonical) {
        assertThat(CpuList.parse(text)).hasToString(canonical).isEqualTo(CpuList.parse(canonical));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ",", "0,", "-1", "0-", "a", "0x1", "8192", "99999", "999999", "2-1", "0--1", "0-1-2"})
    void refusesWhatIsNone(String text) {
        assertThatThrownBy(() -> CpuList.parse(text))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("\"" + text + "\"");
    }

    @Test
    void noneIsAny() {
        assertThat(CpuList.ANY.isAny()).isTrue();
        assertThat(CpuList.parse("0").isAny()).isFalse();
    }
}
