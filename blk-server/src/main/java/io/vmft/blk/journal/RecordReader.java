package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32C;

/**
 * Reads whole records and checks them; those that lie close together by one system call, which costs as much as copying some KiB.
 * Not thread-safe.
 */
public final class RecordReader {
    /** What one call reads, or a record if that is longer: so little that it stays in a processor's cache until it is used. */
    private static final int READ_BYTES = 1 << 20;
    /** So many bytes that nobody asked for are read rather than passed over. */
    private static final int GAP_BYTES = 8 << 10;

    private final long longest;
    /** As large as the longest read so far needed, rounded up. */
    private MemorySegment scratch = MemorySegment.NULL;

    private ByteBuffer bytes = ByteBuffer.allocate(0);
    /** Those to be read, as they lie there, in one segment. */
    private final List<JournalRecord> taken = new ArrayList<>();

    /** Makes a reader of the records of {@code journal}. */
    public RecordReader(Journal journal) {
        longest = RecordHeader.BYTES + (long) journal.maxPayloadBytes();
    }

    /**
     * Begins a read with a WRITE record. What was read before is not there any more.
     *
     * @throws CorruptRecordException if there can be no such record
     */
    public void begin(JournalRecord record) throws CorruptRecordException {
        if (RecordHeader.BYTES + record.lengthBytes() > longest) {
            throw corrupt(record, "length");
        }
        taken.clear();
        taken.add(record);
    }

    /**
     * Adds a WRITE record to the read, no older than those added before, if it should be read with them. The one added last may be
     * added again.
     */
    public boolean add(JournalRecord record) {
        JournalRecord last = taken.getLast();
        if (record.equals(last)) {
            return true;
        }
        if (record.segment() != last.segment()
                || record.position() - end(last) > GAP_BYTES
                || end(record) - start() > READ_BYTES) {
            return false;
        }
        taken.add(record);
        return true;
    }

    /**
     * Reads them.
     *
     * @throws CorruptRecordException if header or payload of one are not what was appended
     */
    public void read() throws IOException {
        long length = end(taken.getLast()) - start();
        if (length > scratch.byteSize()) {
            scratch = Arena.ofAuto()
                    .allocate(Math.max(READ_BYTES, Math.min(longest, Long.highestOneBit(length) << 1)), 64);
            bytes = scratch.asByteBuffer().order(ByteOrder.BIG_ENDIAN);
        }
        StoreFile file = taken.getFirst().segment().file();
        try {
            file.read(start(), scratch.asSlice(0, length));
        } catch (IOException e) {
            // Perhaps it is between them that the disk cannot be read.
            for (JournalRecord record : taken) {
                file.read(record.position(), scratch.asSlice(place(record), end(record) - record.position()));
            }
        }
        for (JournalRecord record : taken) {
            check(record);
        }
    }

    /** The payload of a record that was read, valid until the next {@link #begin}. */
    public MemorySegment payload(JournalRecord record) {
        return scratch.asSlice(place(record) + RecordHeader.BYTES, record.lengthBytes());
    }

    private long start() {
        return taken.getFirst().position();
    }

    private static long end(JournalRecord record) {
        return record.payloadPosition(record.end());
    }

    private int place(JournalRecord record) {
        return (int) (record.position() - start());
    }

    private void check(JournalRecord record) throws CorruptRecordException {
        int place = place(record);
        RecordHeader header = RecordHeader.decode(bytes, place);
        if (header == null
                || header.segmentId() != record.segment().id()
                || header.sequence() != record.sequence()
                || header.offset() != record.offset()
                || header.lengthBytes() != record.lengthBytes()) {
            throw corrupt(record, "header");
        }
        CRC32C crc = new CRC32C();
        crc.update(bytes.slice(place + RecordHeader.BYTES, (int) record.lengthBytes()));
        if ((int) crc.getValue() != header.payloadCrc()) {
            throw corrupt(record, "payload");
        }
    }

    private static CorruptRecordException corrupt(JournalRecord record, String part) {
        return new CorruptRecordException(record.segment() + ": wrong " + part + " of record " + record.sequence()
                + " at byte " + record.position());
    }
}
