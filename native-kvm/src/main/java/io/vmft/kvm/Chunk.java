package io.vmft.kvm;

import java.nio.ByteBuffer;

/**
 * A batch of dirty pages, copied while the guest was paused. The receiver owns the slot and both buffers until it calls {@link
 * Tracker#release}; after that the library writes the next batch over them. A chunk may count only once {@link
 * Tracker.Listener#harvested} said its epoch is valid.
 *
 * @param epoch as given to {@link Tracker#arm}
 * @param slot to give back with {@link Tracker#release}
 * @param pageCount pages in this batch
 * @param storedCount those of them that are not all zeroes, and have their content here
 * @param pageIndexes {@code pageCount} little-endian longs, rising: numbers as {@link RamLayout} counts pages; with {@link
 *     #ZERO_PAGE} where the page is all zeroes
 * @param pages direct, {@code storedCount} times {@value TrackerConfig#PAGE_BYTES} bytes, in the order of the indexes
 */
public record Chunk(long epoch, int slot, int pageCount, int storedCount, ByteBuffer pageIndexes, ByteBuffer pages) {
    /** The bit of an index that says: this page is all zeroes. {@code VMFT_ZERO_PAGE} in {@code vmft.h}. */
    public static final long ZERO_PAGE = Long.MIN_VALUE;
}
