package io.vmft.blk.journal;

import io.vmft.blk.file.WriteVector;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Records on their way into one segment: those staged go there by one system call. Guarded by the journal's append lock.
 *
 * <p>A system call that fails may leave whole records behind the segment's end that nobody was told of. They must not be found behind
 * what is appended next: their headers are destroyed before that, the last one first, so that a kill in between leaves no gap.
 *
 * <p>Zeroes are written behind the last record up to the end of its block. A segment's file was in use before, or filled long ago, and
 * need not be in the page cache any more: of a block that is written in part the kernel would read the rest from disk first, in the
 * middle of a guest's write.
 */
final class StagedRecords {
    /** Each takes three pieces of a {@link WriteVector} at most. */
    static final int MAX_RECORDS = 128;

    /** A file system's block, and a segment is a multiple of it. Where blocks are longer, the rest of one may still be read. */
    private static final int BLOCK_BYTES = 4096;

    private final MemorySegment headers = Arena.ofAuto().allocate((long) MAX_RECORDS * RecordHeader.BYTES, 8);
    private final MemorySegment zeroes = Arena.ofAuto().allocate(BLOCK_BYTES, 8);
    private final WriteVector vector = new WriteVector();
    private final List<JournalRecord> staged = new ArrayList<>();
    /** Left by a call that failed. */
    private final List<JournalRecord> leftOver = new ArrayList<>();

    private long lengthBytes;

    /** Adds a record behind those staged, which the segment has room for. */
    void stage(Segment segment, RecordHeader header, @Nullable MemorySegment payload) {
        long at = (long) staged.size() * RecordHeader.BYTES;
        header.encode(headers, at);
        vector.add(headers, at, RecordHeader.BYTES);
        if (payload != null) {
            vector.add(payload);
            vector.add(zeroes, 0, header.journalBytes() - RecordHeader.BYTES - payload.byteSize());
        }
        staged.add(new JournalRecord(
                segment,
                segment.end() + lengthBytes,
                header.kind(),
                header.sequence(),
                header.offset(),
                header.lengthBytes()));
        lengthBytes += header.journalBytes();
    }

    int count() {
        return staged.size();
    }

    /** What they take in the segment. */
    long lengthBytes() {
        return lengthBytes;
    }

    /**
     * Writes them. Whether or not that succeeds nothing is staged afterwards.
     *
     * @throws IOException none of them counts as written
     */
    List<JournalRecord> write(Segment segment) throws IOException {
        List<JournalRecord> records = List.copyOf(staged);
        try {
            leftOver.addAll(records);
            fillBlock(segment);
            segment.file().write(segment.end(), vector);
            leftOver.clear();
        } finally {
            staged.clear();
            vector.clear();
            lengthBytes = 0;
        }
        return records;
    }

    private void fillBlock(Segment segment) {
        long end = segment.end() + lengthBytes;
        vector.add(zeroes, 0, -end & (BLOCK_BYTES - 1));
    }

    /** To be called before a segment is chosen to stage records for: these are in the one written last. */
    void destroyLeftOver() throws IOException {
        while (!leftOver.isEmpty()) {
            JournalRecord last = leftOver.getLast();
            last.segment().file().write(last.position(), zeroes.asSlice(0, RecordHeader.BYTES));
            leftOver.removeLast();
        }
    }
}
