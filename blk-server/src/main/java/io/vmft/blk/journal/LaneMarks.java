package io.vmft.blk.journal;

import java.util.List;

/**
 * How far a volume is.
 *
 * @param committed records at or below are durable and permanent, but for the dropped ones
 * @param applied records at or below are in the image or dropped: they are never needed again
 * @param dropped ranges of records above {@code applied} that count as never written
 */
public record LaneMarks(long committed, long applied, List<SequenceRange> dropped) {
    public static final LaneMarks NONE = new LaneMarks(0, 0, List.of());

    public LaneMarks {
        dropped = List.copyOf(dropped);
    }

    public boolean isDropped(long sequence) {
        for (SequenceRange range : dropped) {
            if (range.contains(sequence)) {
                return true;
            }
        }
        return false;
    }

    /** After folding everything up to {@code sequence}: skips what was dropped right behind it, and forgets those ranges. */
    public LaneMarks appliedThrough(long sequence) {
        long reached = Math.max(applied, sequence);
        for (SequenceRange range : dropped) {
            if (range.after() <= reached && range.last() > reached) {
                reached = range.last();
            }
        }
        long end = reached;
        return new LaneMarks(
                Math.max(committed, sequence),
                end,
                dropped.stream().filter(range -> range.last() > end).toList());
    }

    public long newest() {
        long newest = Math.max(committed, applied);
        for (SequenceRange range : dropped) {
            newest = Math.max(newest, range.last());
        }
        return newest;
    }
}
