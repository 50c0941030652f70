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
 * @param pageIndexes {@code pageCount} little-endian longs, rising: offset in the guest RAM file divided by {@value
 *     TrackerConfig#PAGE_BYTES}
 * @param pages direct, {@code pageCount} times {@value TrackerConfig#PAGE_BYTES} bytes, in the order of the indexes
 */
public record Chunk(long epoch, int slot, int pageCount, ByteBuffer pageIndexes, ByteBuffer pages) {}
