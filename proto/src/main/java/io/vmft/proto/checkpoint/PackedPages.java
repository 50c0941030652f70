package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;

/**
 * The payload of {@link FrameType#PACKED_PAGES}, read in place: pages whose content is compressed, or is only what changed in them.
 *
 * <pre>
 *  0       4     8                      8 + 8n                 8 + 10n
 * +-------+-----+----------------------+----------------------+-------------------+
 * | n     | 0   | n page indexes (LE)  | n lengths of 2 bytes | contents          |
 * +-------+-----+----------------------+----------------------+-------------------+
 *
 *  a page index: bit 63 all zeroes, it has no content
 *                bit 62 content is XORed with the page's content after all that was sent before
 *                bit 61 content is an LZ4 block of 4096 bytes
 * </pre>
 *
 * <p>"All that was sent before" are the first sync and the checkpoints that ended (END) on this connection, in their order; committed or
 * not makes no difference. A page may come again in a checkpoint: the last content counts, and XORed it still is with what it was before.
 *
 * @param count how many pages
 */
public record PackedPages(ByteBuf payload, int count) {
    /** The page is all zeroes. */
    public static final long ZERO = 1L << 63;
    /** The content is XORed with the page as it was. */
    public static final long DELTA = 1L << 62;
    /** The content is an LZ4 block. */
    public static final long LZ4 = 1L << 61;

    private static final long FLAGS = ZERO | DELTA | LZ4;

    /** Bytes before the first content. */
    public static int prefixBytes(int count) {
        return Frame.PAGES_PREFIX_BYTES + count * (Long.BYTES + Short.BYTES);
    }

    /** Takes one page. */
    @FunctionalInterface
    public interface Visitor {
        /**
         * Looks at one page.
         *
         * @param flags of {@link #ZERO}, {@link #DELTA}, {@link #LZ4}
         * @param offset where its content begins in {@link PackedPages#payload}
         */
        void page(long index, long flags, int offset, int lengthBytes);
    }

    /**
     * Checks a received payload's shape.
     *
     * @param guestPages pages of the guest's memory: every index must be smaller
     */
    public static PackedPages parse(ByteBuf payload, long guestPages) {
        int length = payload.readableBytes();
        int count = length < Frame.PAGES_PREFIX_BYTES ? -1 : payload.getInt(payload.readerIndex());
        if (count < 0 || count > Frame.MAX_PAGES || length < prefixBytes(count)) {
            throw new CorruptedFrameException("packed page frame of " + length + " bytes claims " + count + " pages");
        }
        PackedPages pages = new PackedPages(payload, count);
        int contents = 0;
        for (int i = 0; i < count; i++) {
            pages.check(i, guestPages);
            contents += pages.lengthBytes(i);
        }
        if (length != prefixBytes(count) + contents) {
            throw new CorruptedFrameException(
                    "packed page frame of " + length + " bytes, its contents are " + contents + " bytes");
        }
        return pages;
    }

    private void check(int i, long guestPages) {
        long index = markedIndex(i) & ~FLAGS;
        long flags = markedIndex(i) & FLAGS;
        int length = lengthBytes(i);
        boolean fits = flags == ZERO
                ? length == 0
                : (flags & LZ4) != 0
                        ? (flags & ZERO) == 0 && length > 0 && length < Frame.PAGE_BYTES
                        : flags == 0 && length == Frame.PAGE_BYTES;
        if (index >= guestPages || !fits) {
            throw new CorruptedFrameException("page " + index + " of a guest with " + guestPages + " pages, " + length
                    + " bytes, packed in way " + (flags >>> 61));
        }
    }

    /** Shows each page in order. */
    public void forEach(Visitor visitor) {
        int offset = payload.readerIndex() + prefixBytes(count);
        for (int i = 0; i < count; i++) {
            visitor.page(markedIndex(i) & ~FLAGS, markedIndex(i) & FLAGS, offset, lengthBytes(i));
            offset += lengthBytes(i);
        }
    }

    private long markedIndex(int i) {
        return payload.getLongLE(payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + Long.BYTES * i);
    }

    private int lengthBytes(int i) {
        return payload.getUnsignedShort(
                payload.readerIndex() + Frame.PAGES_PREFIX_BYTES + Long.BYTES * count + Short.BYTES * i);
    }
}
