package io.vmft.blk.journal;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Reads whole records and checks them. Not thread-safe; keeps the last record, because neighbours often are parts of one. */
public final class RecordReader {
    private final long longest;
    /** As large as the longest record so far needed, rounded up: most journals have no record of the longest kind. */
    private MemorySegment scratch = MemorySegment.NULL;

    private @Nullable JournalRecord held;

    /** Makes a reader of the records of {@code journal}. */
    public RecordReader(Journal journal) {
        longest = RecordHeader.BYTES + (long) journal.maxPayloadBytes();
    }

    /**
     * The payload of a WRITE record, valid until the next call.
     *
     * @throws CorruptRecordException if header or payload are not what was appended
     */
    public MemorySegment payload(JournalRecord record) throws IOException {
        long bytes = RecordHeader.BYTES + record.lengthBytes();
        if (!record.equals(held)) {
            held = null;
            if (bytes > longest) {
                throw corrupt(record, "length");
            }
            makeRoom(bytes);
            record.segment().file().read(record.position(), scratch.asSlice(0, bytes));
            check(record);
            held = record;
        }
        return scratch.asSlice(RecordHeader.BYTES, record.lengthBytes());
    }

    private void makeRoom(long bytes) {
        if (bytes > scratch.byteSize()) {
            scratch = Arena.ofAuto().allocate(Math.min(longest, Long.highestOneBit(bytes) << 1), 64);
        }
    }

    private void check(JournalRecord record) throws CorruptRecordException {
        RecordHeader header = RecordHeader.decode(scratch);
        if (header == null
                || header.segmentId() != record.segment().id()
                || header.sequence() != record.sequence()
                || header.offset() != record.offset()
                || header.lengthBytes() != record.lengthBytes()) {
            throw corrupt(record, "header");
        }
        CRC32C crc = new CRC32C();
        crc.update(scratch.asSlice(RecordHeader.BYTES, record.lengthBytes()).asByteBuffer());
        if ((int) crc.getValue() != header.payloadCrc()) {
            throw corrupt(record, "payload");
        }
    }

    private static CorruptRecordException corrupt(JournalRecord record, String part) {
        return new CorruptRecordException(record.segment() + ": wrong " + part + " of record " + record.sequence()
                + " at byte " + record.position());
    }
}
