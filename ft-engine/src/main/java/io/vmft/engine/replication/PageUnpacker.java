package io.vmft.engine.replication;

import io.netty.buffer.ByteBuf;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.PackedPages;
import io.vmft.proto.checkpoint.PagesPayload;
import net.jpountz.lz4.LZ4Exception;
import net.jpountz.lz4.LZ4Factory;
import net.jpountz.lz4.LZ4SafeDecompressor;

/** Turns packed pages into whole ones again. Not thread-safe. */
public final class PageUnpacker {
    /** Tells what a page holds after all that was received before. */
    @FunctionalInterface
    public interface Before {
        void copy(long page, byte[] target);
    }

    private final LZ4SafeDecompressor lz4 = LZ4Factory.safeInstance().safeDecompressor();
    private final byte[] packed = new byte[Frame.PAGE_BYTES];
    private final byte[] page = new byte[Frame.PAGE_BYTES];
    private final byte[] before = new byte[Frame.PAGE_BYTES];

    /** Bytes of a {@link PagesPayload} with these pages. */
    public static int unpackedBytes(PackedPages pages) {
        int[] bytes = {Frame.PAGES_PREFIX_BYTES};
        pages.forEach((index, flags, offset, length) ->
                bytes[0] += Long.BYTES + (flags == PackedPages.ZERO ? 0 : Frame.PAGE_BYTES));
        return bytes[0];
    }

    /**
     * Writes the pages as a {@link PagesPayload}.
     *
     * @param target empty, with room for {@link #unpackedBytes}
     * @throws CorruptedFrameException if a content is no LZ4 block of one page
     */
    public void unpack(PackedPages pages, Before known, ByteBuf target) {
        int indexes = target.writerIndex() + Frame.PAGES_PREFIX_BYTES;
        target.writerIndex(indexes + Long.BYTES * pages.count());
        int[] done = {0, 0};
        pages.forEach((index, flags, offset, length) -> {
            boolean zero = flags == PackedPages.ZERO;
            target.setLongLE(indexes + Long.BYTES * done[0]++, zero ? index | PagesPayload.ZERO_PAGE : index);
            if (!zero) {
                done[1]++;
                read(pages.payload(), index, flags, offset, length, known);
                target.writeBytes(page);
            }
        });
        target.setInt(indexes - 8, done[0]).setInt(indexes - 4, done[1]);
    }

    private void read(ByteBuf payload, long index, long flags, int offset, int length, Before known) {
        if ((flags & PackedPages.LZ4) == 0) {
            payload.getBytes(offset, page);
            return;
        }
        payload.getBytes(offset, packed, 0, length);
        int unpacked;
        try {
            unpacked = lz4.decompress(packed, 0, length, page, 0);
        } catch (LZ4Exception e) {
            throw new CorruptedFrameException("page " + index + ": no LZ4 block: " + e.getMessage(), e);
        }
        if (unpacked != Frame.PAGE_BYTES) {
            throw new CorruptedFrameException("page " + index + ": an LZ4 block of " + unpacked + " bytes");
        }
        if ((flags & PackedPages.DELTA) != 0) {
            known.copy(index, before);
            Xor.pages(page, before, page);
        }
    }
}
