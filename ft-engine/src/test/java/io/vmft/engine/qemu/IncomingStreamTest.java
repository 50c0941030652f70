package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class IncomingStreamTest {
    @Test
    void putsTheMachineBeforeAndADescriptionAfterTheSections() {
        ByteBuffer saved = buffer("5145564d" + "00000003" + "04aabbcc" + "00");
        ByteBuffer stream = IncomingStream.of("pc-i440fx-7.2", List.of(), saved);
        assertThat(HexFormat.of().formatHex(bytes(stream)))
                .isEqualTo("5145564d" + "00000003"
                        + "07" + "0000000d" + "70632d693434306678" + "2d372e32"
                        + "04aabbcc" + "00"
                        + "06" + "00000002" + "7b7d");
        assertThat(saved.remaining()).isEqualTo(13);
    }

    @Test
    void sendsBlocksThatAreNotInTheRamFileWithoutTheirZeroPages() {
        byte[] contents = new byte[3 * 4096];
        Arrays.fill(contents, 4096, 8192, (byte) 0xab);
        ByteBuffer stream = IncomingStream.of(
                "m",
                List.of(new RamBlock("rom", ByteBuffer.wrap(contents))),
                buffer("5145564d" + "00000003" + "04aa" + "00"));
        assertThat(HexFormat.of().formatHex(bytes(stream)))
                .isEqualTo("5145564d" + "00000003"
                        + "07" + "00000001" + "6d"
                        + "01" + "7fff0000" + "03" + "72616d" + "00000000" + "00000004"
                        + "0000000000003004" + "03" + "726f6d" + "0000000000003000" + "0000000000000010"
                        + "7e" + "7fff0000"
                        + "03" + "7fff0000"
                        + "0000000000001008" + "03" + "726f6d" + "ab".repeat(4096) + "0000000000000010"
                        + "7e" + "7fff0000"
                        + "04aa" + "00"
                        + "06" + "00000002" + "7b7d");
    }

    @Test
    void readsABlocksLengthFromTheMonitor() {
        String listing = """
                          Block Name    PSize              Offset               Used              Total
                              pc.ram    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000
                             pc.bios    4 KiB  0x0000000004000000 0x0000000000040000 0x0000000000080000
                """;
        assertThat(RamBlock.usedBytes(listing, "pc.bios")).isEqualTo(256 << 10);
        assertThat(RamBlock.usedBytes(listing, "bios")).isEqualTo(-1);
        assertThat(RamBlock.usedBytes("", "pc.bios")).isEqualTo(-1);
    }

    @Test
    void refusesBlocksThatAreNotWholePages() {
        assertThatThrownBy(() -> new RamBlock("rom", ByteBuffer.allocate(4097)))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new RamBlock("", ByteBuffer.allocate(4096)))
                .isInstanceOf(IllegalArgumentException.class);
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
        assertThatThrownBy(() -> IncomingStream.of("pc-i440fx-7.2", List.of(), buffer(hex)))
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
