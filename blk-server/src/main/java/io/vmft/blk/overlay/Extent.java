package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;

/**
 * A range of a volume whose newest bytes are in {@code record}: the whole of it, or what newer writes left of it.
 *
 * @param start volume offset of the first byte
 * @param end volume offset after the last byte
 */
public record Extent(long start, long end, JournalRecord record) {
    public Extent {
        if (start >= end || start < record.offset() || end > record.offset() + record.lengthBytes()) {
            throw new IllegalArgumentException("extent " + start + ".." + end + " of " + record);
        }
    }
}
