package io.vmft.blk.overlay;

import java.util.Collection;
import java.util.Map;
import java.util.TreeMap;

/** Extents that never overlap, in volume order; a newer one displaces what it covers. Not thread-safe. */
public final class Layer {
    private final TreeMap<Long, Extent> extents = new TreeMap<>();
    /** Every record at or below this sequence number that is not in an older layer is here. Set when frozen. */
    private long boundary;
    /** What the records put here count for in the journal's budget, displaced ones too. */
    private long budgetBytes;
    /** The newest point before its commit. Set when committed. */
    private long afterPoint;

    void put(Extent extent, long recordBytes) {
        budgetBytes += recordBytes;
        put(extent);
    }

    private void put(Extent extent) {
        long start = extent.start();
        long end = extent.end();
        Map.Entry<Long, Extent> left = extents.lowerEntry(start);
        if (left != null && left.getValue().end() > start) {
            Extent covered = left.getValue();
            extents.put(covered.start(), covered.upTo(start));
            if (covered.end() > end) {
                extents.put(end, covered.from(end));
            }
        }
        Map.Entry<Long, Extent> right = extents.ceilingEntry(start);
        while (right != null && right.getKey() < end) {
            Extent covered = right.getValue();
            if (covered.end() > end) {
                extents.put(end, covered.from(end));
            }
            if (covered.start() != start) {
                extents.remove(covered.start());
            }
            right = extents.higherEntry(covered.start());
        }
        extents.put(start, extent);
    }

    /** Puts everything of a newer layer on top. */
    void absorb(Layer newer) {
        for (Extent extent : newer.extents.values()) {
            put(extent);
        }
        budgetBytes += newer.budgetBytes;
        boundary = newer.boundary;
    }

    void freeze(long atBoundary) {
        boundary = atBoundary;
    }

    void commit(long newestPoint) {
        afterPoint = newestPoint;
    }

    /** The newest point that does not have this layer's changes. */
    public long afterPoint() {
        return afterPoint;
    }

    boolean holdsNothing() {
        return budgetBytes == 0;
    }

    /** In volume order. */
    public Collection<Extent> extents() {
        return extents.values();
    }

    /** Extents that reach into {@code start..end}, in volume order. */
    Collection<Extent> within(long start, long end) {
        Map.Entry<Long, Extent> left = extents.lowerEntry(start);
        long from = left != null && left.getValue().end() > start ? left.getKey() : start;
        return extents.subMap(from, true, end, false).values();
    }

    public long boundary() {
        return boundary;
    }

    public long budgetBytes() {
        return budgetBytes;
    }
}
