package io.vmft.engine.qemu;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/**
 * The migration stream that gives a waiting QEMU a device state saved by {@code xen-save-devices-state}.
 *
 * <pre>
 *   saved                           sent
 *   be32 0x5145564d "QEVM"          be32 0x5145564d
 *   be32 3                          be32 3
 *   sections …                      0x07, be32 length, machine type      (configuration)
 *   0x00                            sections …
 *                                   0x00                                 (end)
 *                                   0x06, be32 2, "{}"                   (description: QEMU waits for it)
 * </pre>
 *
 * <p>Memory is not sent: it is in the files the waiting QEMU has mapped. Source: QEMU, {@code migration/savevm.c}.
 */
public final class IncomingStream {
    private static final int MAGIC = 0x5145564d;
    private static final int VERSION = 3;
    private static final int HEADER_BYTES = 8;
    private static final byte SECTION_END = 0x00;
    private static final byte SECTION_DESCRIPTION = 0x06;
    private static final byte SECTION_CONFIGURATION = 0x07;

    private static final byte[] EMPTY_DESCRIPTION = "{}".getBytes(StandardCharsets.US_ASCII);

    /** More than any device state the engine has seen, less than what would hurt. */
    public static final int MAX_STATE_BYTES = 256 << 20;

    private IncomingStream() {}

    /**
     * Makes the stream.
     *
     * @param machineType versioned, without {@code -machine} at its end, such as {@code pc-i440fx-7.2}
     * @param savedState from its position to its limit; left as it is
     * @return a new buffer, ready to be sent
     * @throws IllegalArgumentException if {@code savedState} is not a whole saved state
     */
    public static ByteBuffer of(String machineType, ByteBuffer savedState) {
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
        ByteBuffer stream = ByteBuffer.allocate(
                HEADER_BYTES + 5 + machine.length + state.remaining() + 5 + EMPTY_DESCRIPTION.length);
        stream.putInt(MAGIC).putInt(VERSION);
        stream.put(SECTION_CONFIGURATION).putInt(machine.length).put(machine);
        stream.put(state);
        stream.put(SECTION_DESCRIPTION).putInt(EMPTY_DESCRIPTION.length).put(EMPTY_DESCRIPTION);
        return stream.flip();
    }
}
