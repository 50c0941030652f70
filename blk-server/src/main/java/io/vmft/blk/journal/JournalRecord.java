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
    public long end() {
        return offset + lengthBytes;
    }

    /** What it takes in the journal. */
    public long journalBytes() {
        return journalBytes(kind == RecordKind.WRITE ? lengthBytes : 0);
    }

    /** What a record with such a payload takes in the journal. */
    public static long journalBytes(long payloadBytes) {
        return RecordHeader.journalBytes(payloadBytes);
    }

    /** Position in the segment of the payload byte for {@code volumeOffset}. */
    public long payloadPosition(long volumeOffset) {
        return position + RecordHeader.BYTES + (volumeOffset - offset);
    }
}
