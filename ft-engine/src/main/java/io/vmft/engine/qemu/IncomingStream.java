package io.vmft.engine.qemu;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * The migration stream that gives a waiting QEMU a device state saved by {@code xen-save-devices-state}.
 *
 * <pre>
 *   saved                           sent
 *   be32 0x5145564d "QEVM"          be32 0x5145564d
 *   be32 3                          be32 3
 *   sections …                      0x07, be32 length, machine type      (configuration)
 *   0x00                            RAM sections, if there are blocks    (below)
 *                                   sections …
 *                                   0x00                                 (end)
 *                                   0x06, be32 2, "{}"                   (description: QEMU waits for it)
 *
 *   RAM sections: a start, which lists the blocks, and an end, which has their pages that are not zero
 *   0x01, be32 id, 3 "ram", be32 0, be32 4
 *         be64 sum of lengths | 0x04, { name's length, name, be64 length } …, be64 0x10
 *   0x7e, be32 id
 *   0x03, be32 id
 *         { be64 offset | 0x08, name's length, name, 4096 bytes } …, be64 0x10
 *   0x7e, be32 id
 * </pre>
 *
 * <p>Guest RAM itself is not sent: it is in the file the waiting QEMU has mapped. Source: QEMU, {@code migration/savevm.c}, {@code
 * migration/ram.c}.
 */
public final class IncomingStream {
    private static final int MAGIC = 0x5145564d;
    private static final int VERSION = 3;
    private static final int HEADER_BYTES = 8;
    private static final byte SECTION_END = 0x00;
    private static final byte SECTION_DESCRIPTION = 0x06;
    private static final byte SECTION_CONFIGURATION = 0x07;
    private static final byte SECTION_START = 0x01;
    private static final byte SECTION_LAST = 0x03;
    private static final byte SECTION_FOOTER = 0x7e;

    /** Not a number that the saved sections have: those count from 0. */
    private static final int RAM_SECTION_ID = 0x7fff0000;

    private static final int RAM_VERSION = 4;
    private static final long RAM_SIZES = 0x04;
    private static final long RAM_PAGE = 0x08;
    private static final long RAM_END = 0x10;
    private static final int PAGE_BYTES = 4096;
    private static final ByteBuffer ZERO_PAGE = ByteBuffer.allocate(PAGE_BYTES).asReadOnlyBuffer();

    private static final byte[] EMPTY_DESCRIPTION = "{}".getBytes(StandardCharsets.US_ASCII);

    /** More than any device state the engine has seen, less than what would hurt. */
    public static final int MAX_STATE_BYTES = 256 << 20;

    private IncomingStream() {}

    /**
     * Makes the stream.
     *
     * @param machineType versioned, without {@code -machine} at its end, such as {@code pc-i440fx-7.2}
     * @param blocks memory that is not in the RAM file; their lengths are what QEMU has
     * @param savedState from its position to its limit; left as it is
     * @return a new buffer, ready to be sent
     * @throws IllegalArgumentException if {@code savedState} is not a whole saved state
     */
    public static ByteBuffer of(String machineType, List<RamBlock> blocks, ByteBuffer savedState) {
        ByteBuffer state = savedState.duplicate();
        int length = state.remaining();
        if (length <= HEADER_BYTES || length > MAX_STATE_BYTES) {
            throw new IllegalArgumentException("a device state of " + length + " bytes");
        }
        int magic = state.getInt();
        int version = state.getInt();
        if (magic != MAGIC || version != VERSION) {
            throw new IllegalArgumentException("a device state that begins with 0x" + Integer.toHexString(magic)
                    + ", version " + version + ", where 0x5145564d, version 3 was expected");
        }
        if (state.get(state.limit() - 1) != SECTION_END) {
            throw new IllegalArgumentException("a device state that is cut off: its last byte is not the end mark");
        }
        byte[] machine = machineType.getBytes(StandardCharsets.UTF_8);
        ByteBuffer stream = ByteBuffer.allocate(HEADER_BYTES
                + 5
                + machine.length
                + ramSectionsBytes(blocks)
                + state.remaining()
                + 5
                + EMPTY_DESCRIPTION.length);
        stream.putInt(MAGIC).putInt(VERSION);
        stream.put(SECTION_CONFIGURATION).putInt(machine.length).put(machine);
        if (!blocks.isEmpty()) {
            putRamSections(stream, blocks);
        }
        stream.put(state);
        stream.put(SECTION_DESCRIPTION).putInt(EMPTY_DESCRIPTION.length).put(EMPTY_DESCRIPTION);
        return stream.flip();
    }

    /** An upper bound. */
    private static int ramSectionsBytes(List<RamBlock> blocks) {
        int bytes = 128;
        for (RamBlock block : blocks) {
            int length = block.contents().remaining();
            bytes += 1 + 255 + 8 + length + length / PAGE_BYTES * (8 + 1 + 255);
        }
        return bytes;
    }

    private static void putRamSections(ByteBuffer stream, List<RamBlock> blocks) {
        byte[] section = "ram".getBytes(StandardCharsets.US_ASCII);
        long total =
                blocks.stream().mapToLong(block -> block.contents().remaining()).sum();
        stream.put(SECTION_START).putInt(RAM_SECTION_ID);
        stream.put((byte) section.length).put(section).putInt(0).putInt(RAM_VERSION);
        stream.putLong(total | RAM_SIZES);
        for (RamBlock block : blocks) {
            putName(stream, block);
            stream.putLong(block.contents().remaining());
        }
        stream.putLong(RAM_END).put(SECTION_FOOTER).putInt(RAM_SECTION_ID);
        stream.put(SECTION_LAST).putInt(RAM_SECTION_ID);
        for (RamBlock block : blocks) {
            ByteBuffer contents = block.contents();
            for (int offset = 0; offset < contents.limit(); offset += PAGE_BYTES) {
                ByteBuffer page = contents.slice(offset, PAGE_BYTES);
                if (!page.equals(ZERO_PAGE)) {
                    stream.putLong(offset | RAM_PAGE);
                    putName(stream, block);
                    stream.put(page);
                }
            }
        }
        stream.putLong(RAM_END).put(SECTION_FOOTER).putInt(RAM_SECTION_ID);
    }

    private static void putName(ByteBuffer stream, RamBlock block) {
        byte[] name = block.name().getBytes(StandardCharsets.UTF_8);
        stream.put((byte) name.length).put(name);
    }
}
