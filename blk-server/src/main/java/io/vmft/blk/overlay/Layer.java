package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;

/** Extents that never overlap, in volume order; a newer one displaces what it covers. Not thread-safe. */
public final class Layer {
    private final ExtentMap extents = new ExtentMap();
    /** Every record at or below this sequence number that is not in an older layer is here. Set when frozen. */
    private long boundary;
    /** What the records put here count for in the journal's budget, displaced ones too. */
    private long budgetBytes;
    /** The newest point before its commit. Set when committed. */
    private long afterPoint;

    void put(JournalRecord record) {
        extents.put(record.offset(), record.end(), record);
        budgetBytes += record.budgetBytes();
    }

    /** Puts everything of a newer layer on top. */
    void absorb(Layer newer) {
        extents.putAll(newer.extents);
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
    public Iterable<Extent> extents() {
        return extents;
    }

    ExtentMap map() {
        return extents;
    }

    public long boundary() {
        return boundary;
    }

    public long budgetBytes() {
        return budgetBytes;
    }
}
