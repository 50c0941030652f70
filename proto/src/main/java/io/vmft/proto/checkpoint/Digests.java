package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;

/**
 * The payload of {@link FrameType#DIGESTS}: what the primary's guest held at the end of an epoch.
 *
 * <pre>
 *  0                4
 * +----------------+-------------------------------------------+
 * | of the device  | of each {@value #PIECE_PAGES} pages of memory, the last    |
 * | state          | maybe fewer                               |
 * +----------------+-------------------------------------------+
 * </pre>
 *
 * Each is a CRC-32C of 4 bytes.
 *
 * @param deviceState of the device state
 * @param memory of the pieces of memory, in order
 */
@SuppressWarnings("ArrayRecordComponent") // Made once, read once, never compared as a whole.
public record Digests(int deviceState, int[] memory) {
    /** Pages that one checksum covers. */
    public static final int PIECE_PAGES = 256;

    /** How many pieces so many pages are. */
    public static int pieces(long guestPages) {
        return Math.toIntExact((guestPages + PIECE_PAGES - 1) / PIECE_PAGES);
    }

    public ByteBuf payload() {
        ByteBuf payload = Unpooled.buffer(4 + 4 * memory.length);
        payload.writeInt(deviceState);
        for (int digest : memory) {
            payload.writeInt(digest);
        }
        return payload;
    }

    /** Reads a received payload. */
    public static Digests parse(ByteBuf payload, long guestPages) {
        int pieces = pieces(guestPages);
        if (payload.readableBytes() != 4 + 4L * pieces) {
            throw new CorruptedFrameException(
                    "checksums of " + payload.readableBytes() + " bytes for " + pieces + " pieces of memory");
        }
        int at = payload.readerIndex();
        int[] memory = new int[pieces];
        for (int i = 0; i < pieces; i++) {
            memory[i] = payload.getInt(at + 4 + 4 * i);
        }
        return new Digests(payload.getInt(at), memory);
    }
}
