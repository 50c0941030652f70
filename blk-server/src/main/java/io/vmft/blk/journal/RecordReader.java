package io.vmft.blk.journal;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Reads whole records and checks them. Not thread-safe; keeps the last record, because neighbours often are parts of one. */
public final class RecordReader {
    private final MemorySegment scratch;
    private @Nullable JournalRecord held;

    /**
     * Makes a reader.
     *
     * @param scratch native memory for the longest record
     */
    public RecordReader(MemorySegment scratch) {
        this.scratch = scratch;
    }

    /** Scratch bytes that hold any record of {@code journal}. */
    public static long scratchBytes(Journal journal) {
        return RecordHeader.BYTES + (long) journal.maxPayloadBytes();
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
            if (bytes > scratch.byteSize()) {
                throw corrupt(record, "length");
            }
            record.segment().file().read(record.position(), scratch.asSlice(0, bytes));
            check(record);
            held = record;
        }
        return scratch.asSlice(RecordHeader.BYTES, record.lengthBytes());
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
