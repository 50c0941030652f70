package io.vmft.engine.replication;

import io.netty.buffer.ByteBuf;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.PackedPages;
import io.vmft.proto.checkpoint.PagesPayload;
import java.nio.ByteBuffer;
import net.jpountz.lz4.LZ4Compressor;
import net.jpountz.lz4.LZ4Factory;

/**
 * Makes checkpoints' pages smaller: of a page that was sent before, and is still remembered, only what changed. What is remembered is
 * what the backup has, as {@link PackedPages} defines it, as long as every page sent passes here or {@link #forget} is called. Not
 * thread-safe.
 */
public final class PagePacker {
    /** An LZ4 block that saves less is not worth unpacking. */
    private static final int MAX_PACKED_BYTES = Frame.PAGE_BYTES * 7 / 8;

    /** Pure Java without tricks: no library is unpacked to a temporary folder. */
    private final LZ4Compressor lz4 = LZ4Factory.safeInstance().fastCompressor();

    private final PageCache sent;
    private final byte[] page = new byte[Frame.PAGE_BYTES];
    private final byte[] changed = new byte[Frame.PAGE_BYTES];
    private final byte[] packed = new byte[MAX_PACKED_BYTES];

    /**
     * Makes a packer that remembers nothing.
     *
     * @param cacheBytes bound of what it remembers
     */
    public PagePacker(long cacheBytes) {
        sent = new PageCache(cacheBytes);
    }

    /** The most bytes that so many pages become. */
    public static int maxBytes(int count, int stored) {
        return PackedPages.prefixBytes(count) + stored * Frame.PAGE_BYTES;
    }

    /**
     * Writes a {@link PackedPages} payload.
     *
     * @param epoch the checkpoint they belong to: what comes a second time in it is not related to the first
     * @param indexes {@code count} little-endian page indexes, with {@link PagesPayload#ZERO_PAGE} for pages without content
     * @param pages the contents of the others; its position does not count
     * @param target empty, with room for {@link #maxBytes}
     */
    public void pack(long epoch, int count, ByteBuffer indexes, ByteBuffer pages, ByteBuf target) {
        target.writeInt(count).writeInt(0);
        target.writerIndex(target.writerIndex() + PackedPages.prefixBytes(count) - Frame.PAGES_PREFIX_BYTES);
        int at = 0;
        for (int i = 0; i < count; i++) {
            long index = indexes.getLong(i * Long.BYTES);
            int before = target.writerIndex();
            long marked;
            if (index < 0) {
                sent.remove(index & ~PagesPayload.ZERO_PAGE);
                marked = (index & ~PagesPayload.ZERO_PAGE) | PackedPages.ZERO;
            } else {
                pages.get(at, page);
                at += Frame.PAGE_BYTES;
                marked = index | write(epoch, index, target);
            }
            target.setLongLE(Frame.PAGES_PREFIX_BYTES + Long.BYTES * i, marked);
            target.setShort(
                    Frame.PAGES_PREFIX_BYTES + Long.BYTES * count + Short.BYTES * i, target.writerIndex() - before);
        }
    }

    /** What was sent last does not stand, or something was sent past this object. */
    public void forget() {
        sent.clear();
    }

    /** Writes the current page's content; says how. */
    private long write(long epoch, long index, ByteBuf target) {
        byte[] before = sent.get(index, epoch);
        long how = 0;
        if (before != null) {
            Xor.pages(page, before, changed);
            how = PackedPages.DELTA;
        }
        sent.put(index, epoch, page);
        int length = compress(before == null ? page : changed);
        if (length > 0) {
            target.writeBytes(packed, 0, length);
            return how | PackedPages.LZ4;
        }
        target.writeBytes(page);
        return 0;
    }

    /** Bytes in {@link #packed}; 0 if they would be too many. */
    private int compress(byte[] content) {
        try {
            return lz4.compress(content, 0, Frame.PAGE_BYTES, packed, 0, MAX_PACKED_BYTES);
        } catch (net.jpountz.lz4.LZ4Exception tooLarge) {
            return 0;
        }
    }
}
