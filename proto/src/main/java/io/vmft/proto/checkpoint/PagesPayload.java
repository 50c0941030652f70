package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import java.nio.ByteBuffer;

/**
 * The payload of a page frame, read in place.
 *
 * @param count how many pages
 */
public record PagesPayload(ByteBuf payload, int count) {
    /**
     * Joins indexes and pages to a payload without copying them.
     *
     * @param indexes {@code count} little-endian page indexes
     * @param pages {@code count} pages
     */
    public static ByteBuf join(int count, ByteBuffer indexes, ByteBuffer pages) {
        ByteBuf prefix = Unpooled.directBuffer(Frame.PAGES_PREFIX_BYTES);
        prefix.writeInt(count).writeInt(0);
        return Unpooled.wrappedBuffer(3, prefix, Unpooled.wrappedBuffer(indexes), Unpooled.wrappedBuffer(pages));
    }

    /**
     * Checks a received payload's shape.
     *
     * @param ramPages pages of guest RAM: every index must be smaller
     */
    public static PagesPayload parse(ByteBuf payload, long ramPages) {
        int length = payload.readableBytes();
        if (length < Frame.PAGES_PREFIX_BYTES) {
            throw new CorruptedFrameException("page frame of " + length + " bytes");
        }
        int count = payload.getInt(payload.readerIndex());
        if (count < 0
                || count > Frame.MAX_PAGES
                || length != Frame.PAGES_PREFIX_BYTES + count * (8 + Frame.PAGE_BYTES)) {
            throw new CorruptedFrameException("page frame of " + length + " bytes claims " + count + " pages");
        }
        PagesPayload pages = new PagesPayload(payload, count);
        for (int i = 0; i < count; i++) {
            long index = pages.index(i);
            if (index < 0 || index >= ramPages) {
                throw new CorruptedFrameException(
                        "page " + Long.toUnsignedString(index) + " of a guest with " + ramPages + " pages");
            }
        }
        return pages;
    }

    /** The guest page number of the i-th page. */
    public long index(int i) {
        return payload.getLongLE(payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + 8 * i);
    }

    /** Where the i-th page starts in {@link #payload}. */
    public int pageOffset(int i) {
        return payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + 8 * count + Frame.PAGE_BYTES * i;
    }
}
