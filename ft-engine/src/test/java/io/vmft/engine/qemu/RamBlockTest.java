package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

final class RamBlockTest {
    private static final String LISTING = """
                  Block Name    PSize              Offset               Used              Total
                        ram0    4 KiB  0x0000000000000000 0x0000000004000000 0x0000000004000000
       0000:00:02.0/vga.vram    4 KiB  0x0000000004080000 0x0000000001000000 0x0000000001000000
        /rom@etc/acpi/tables    4 KiB  0x0000000005100000 0x0000000000020000 0x0000000000200000
                     pc.bios    4 KiB  0x0000000004000000 0x0000000000040000 0x0000000000040000
""";

    /** QEMU 8.2 and newer say more in each line. */
    private static final String NEWER = """
              Block Name    PSize              Offset               Used              Total                HVA  RO
                 pc.bios    4 KiB  0x0000000004000000 0x0000000000040000 0x0000000000080000 0x00007f0c1be00000  ro
""";

    @Test
    void readsWhatTheMonitorPrints() {
        assertThat(RamBlock.parse(LISTING))
                .containsExactly(
                        new RamBlock("ram0", 64 << 20),
                        new RamBlock("0000:00:02.0/vga.vram", 16 << 20),
                        new RamBlock("/rom@etc/acpi/tables", 2 << 20),
                        new RamBlock("pc.bios", 256 << 10));
        assertThat(RamBlock.parse(NEWER)).containsExactly(new RamBlock("pc.bios", 512 << 10));
        assertThat(RamBlock.parse("")).isEmpty();
    }

    @Test
    void eachBlockButGuestRamMustHaveBeenSeen() {
        List<RamBlock> blocks = RamBlock.parse(LISTING);
        assertThat(RamBlock.firstMissing(blocks, "ram0", List.of(64L, 512L, 4096L)))
                .isEmpty();
        assertThat(RamBlock.firstMissing(blocks, "ram0", List.of(64L, 4096L)))
                .contains(new RamBlock("/rom@etc/acpi/tables", 2 << 20));
    }

    @Test
    void oneSeenPieceIsNotTwoBlocks() {
        List<RamBlock> two = List.of(new RamBlock("a", 4096), new RamBlock("b", 1));
        assertThat(RamBlock.firstMissing(two, "ram0", List.of(1L))).contains(two.get(1));
        assertThat(RamBlock.firstMissing(two, "ram0", List.of(1L, 1L))).isEmpty();
    }
}
