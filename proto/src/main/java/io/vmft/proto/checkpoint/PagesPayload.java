package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import java.nio.ByteBuffer;

/**
 * The payload of a page frame, read in place: page indexes, and the content of those pages that are not all zeroes.
 *
 * @param count how many pages
 * @param stored how many of them have their content here
 */
public record PagesPayload(ByteBuf payload, int count, int stored) {
    /** The bit of an index that says: this page is all zeroes, it has no content. */
    public static final long ZERO_PAGE = Long.MIN_VALUE;

    /** Takes one page. */
    @FunctionalInterface
    public interface Visitor {
        /**
         * Looks at one page.
         *
         * @param offset where its content begins in {@link PagesPayload#payload}; negative: it is all zeroes
         */
        void page(long index, int offset);
    }

    /**
     * Joins indexes and pages to a payload without copying them.
     *
     * @param indexes {@code count} little-endian page indexes
     * @param pages {@code stored} pages: one for each index without {@link #ZERO_PAGE}
     */
    public static ByteBuf join(int count, int stored, ByteBuffer indexes, ByteBuffer pages) {
        ByteBuf prefix = Unpooled.directBuffer(Frame.PAGES_PREFIX_BYTES);
        prefix.writeInt(count).writeInt(stored);
        return Unpooled.wrappedBuffer(3, prefix, Unpooled.wrappedBuffer(indexes), Unpooled.wrappedBuffer(pages));
    }

    /**
     * Checks a received payload's shape.
     *
     * @param guestPages pages of the guest's memory: every index must be smaller
     */
    public static PagesPayload parse(ByteBuf payload, long guestPages) {
        int length = payload.readableBytes();
        if (length < Frame.PAGES_PREFIX_BYTES) {
            throw new CorruptedFrameException("page frame of " + length + " bytes");
        }
        int count = payload.getInt(payload.readerIndex());
        int stored = payload.getInt(payload.readerIndex() + 4);
        if (count < 0
                || count > Frame.MAX_PAGES
                || stored < 0
                || stored > count
                || length != Frame.PAGES_PREFIX_BYTES + count * 8 + stored * Frame.PAGE_BYTES) {
            throw new CorruptedFrameException(
                    "page frame of " + length + " bytes claims " + count + " pages, " + stored + " not zero");
        }
        PagesPayload pages = new PagesPayload(payload, count, stored);
        int notZero = 0;
        for (int i = 0; i < count; i++) {
            long index = pages.markedIndex(i);
            notZero += index < 0 ? 0 : 1;
            if ((index & ~ZERO_PAGE) >= guestPages) {
                throw new CorruptedFrameException(
                        "page " + (index & ~ZERO_PAGE) + " of a guest with " + guestPages + " pages");
            }
        }
        if (notZero != stored) {
            throw new CorruptedFrameException("page frame with " + stored + " pages for " + notZero + " indexes");
        }
        return pages;
    }

    /** Shows each page in order. */
    public void forEach(Visitor visitor) {
        int offset = payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + 8 * count;
        for (int i = 0; i < count; i++) {
            long index = markedIndex(i);
            if (index < 0) {
                visitor.page(index & ~ZERO_PAGE, -1);
            } else {
                visitor.page(index, offset);
                offset += Frame.PAGE_BYTES;
            }
        }
    }

    private long markedIndex(int i) {
        return payload.getLongLE(payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + 8 * i);
    }
}
