package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;

/**
 * Extents that never overlap, in volume order; a newer one displaces what it covers. Not thread-safe.
 *
 * <p>A <em>cursor</em> stands for an extent until the layer is changed, which one that is being folded never is.
 */
public final class Layer {
    /** A cursor behind the last extent. */
    public static final long NONE = ExtentMap.NONE;

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

    /** The first extent's cursor, or {@link #NONE}. */
    public long first() {
        return extents.find(0);
    }

    /** The cursor of the extent behind another's, or {@link #NONE}. */
    public long next(long cursor) {
        return extents.next(cursor);
    }

    /** What the extent's record says. */
    public RecordKind kind(long cursor) {
        return extents.kind(cursor);
    }

    /** The extent's record's sequence number. */
    public long sequence(long cursor) {
        return extents.sequence(cursor);
    }

    /** The extent's record, made anew by each call. */
    public JournalRecord record(long cursor) {
        return extents.record(cursor);
    }

    /** The extent itself, made anew by each call. */
    public Extent extent(long cursor) {
        return extents.extent(cursor);
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
