package io.vmft.blk.journal;

/**
 * Where a record is: what memory keeps of it.
 *
 * @param segment retained by whoever reads it outside the overlay's lock
 * @param position of its header in the segment
 * @param offset of its first byte in the volume
 */
public record JournalRecord(
        Segment segment, long position, RecordKind kind, long sequence, long offset, long lengthBytes) {
    /** At least ten times what the overlay needs for one. */
    private static final long MIN_BUDGET_BYTES = 2048;

    public long end() {
        return offset + lengthBytes;
    }

    /** What it counts for in the budget. */
    public long budgetBytes() {
        return budgetBytes(kind == RecordKind.WRITE ? lengthBytes : 0);
    }

    /**
     * What a record with such a payload counts for in the budget: its bytes in the journal, but no less than keeps the memory of the
     * overlay within bounds when records are small.
     */
    public static long budgetBytes(long payloadBytes) {
        return Math.max(RecordHeader.journalBytes(payloadBytes), MIN_BUDGET_BYTES);
    }

    /** Position in the segment of the payload byte for {@code volumeOffset}. */
    public long payloadPosition(long volumeOffset) {
        return position + RecordHeader.BYTES + (volumeOffset - offset);
    }
}
