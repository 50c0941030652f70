package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class IncomingStreamTest {
    @Test
    void putsTheMachineBeforeAndADescriptionAfterTheSections() {
        ByteBuffer saved = buffer("5145564d" + "00000003" + "04aabbcc" + "00");
        ByteBuffer stream = IncomingStream.of("pc-i440fx-7.2", saved);
        assertThat(HexFormat.of().formatHex(bytes(stream)))
                .isEqualTo("5145564d" + "00000003"
                        + "07" + "0000000d" + "70632d693434306678" + "2d372e32"
                        + "04aabbcc" + "00"
                        + "06" + "00000002" + "7b7d");
        assertThat(saved.remaining()).isEqualTo(13);
    }

    @ParameterizedTest
    @CsvSource({
        "'',of 0 bytes",
        "5145564d00000003,of 8 bytes",
        "5145564e0000000304aabb00,begins with 0x5145564e",
        "5145564d0000000204aabb00,version 2",
        "5145564d0000000304aabb,cut off",
    })
    void refusesWhatIsNoSavedState(String hex, String complaint) {
        assertThatThrownBy(() -> IncomingStream.of("pc-i440fx-7.2", buffer(hex)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(complaint);
    }

    private static ByteBuffer buffer(String hex) {
        return ByteBuffer.wrap(HexFormat.of().parseHex(hex));
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return bytes;
    }
}
