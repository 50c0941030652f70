package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;

/**
 * The payload of {@link FrameType#OUTPUT} and {@link FrameType#INPUT}: Ethernet frames, oldest first.
 *
 * <pre>
 *  0        2     4         8
 * +--------+-----+---------+--------------+
 * | card   | 0 0 | length  | length bytes |  and so on
 * +--------+-----+---------+--------------+
 * </pre>
 */
public final class NetFrames {
    /** The most bytes in one Ethernet frame; more than any virtual card sends. */
    public static final int MAX_FRAME_BYTES = 4096 + 65536;

    /** Takes one frame out of a payload. */
    @FunctionalInterface
    public interface Visitor {
        /**
         * Looks at one frame.
         *
         * @param card index of the VM's network card
         * @param offset where the frame begins in the payload
         */
        void frame(int card, int offset, int lengthBytes);
    }

    private NetFrames() {}

    /** Writes what stands before a frame's bytes. */
    public static void writeHeader(ByteBuf target, int card, int lengthBytes) {
        target.writeShort(card).writeShort(0).writeInt(lengthBytes);
    }

    /** Shows each frame of a received payload, which stays as it is. */
    public static void forEach(ByteBuf payload, int cards, Visitor visitor) {
        int at = payload.readerIndex();
        while (at < payload.writerIndex()) {
            if (payload.writerIndex() - at < 8) {
                throw new CorruptedFrameException("network frames end in the middle of a header");
            }
            int card = payload.getUnsignedShort(at);
            int length = payload.getInt(at + 4);
            if (card >= cards || length <= 0 || length > MAX_FRAME_BYTES || length > payload.writerIndex() - at - 8) {
                throw new CorruptedFrameException(
                        "a network frame of " + Integer.toUnsignedString(length) + " bytes for card " + card);
            }
            visitor.frame(card, at + 8, length);
            at += 8 + length;
        }
    }
}
