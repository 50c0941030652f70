package io.vmft.blk.overlay;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Segment;
import io.vmft.blk.journal.Segments;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.junit.jupiter.api.Test;

/** One thread writes, one seals and commits, as a volume does it; others read meanwhile. */
class OverlayRaceTest {
    private static final int BLOCKS = 512;
    private static final int WRITES = 200_000;

    private final Overlay overlay = new Overlay();
    private final Segment segment = Segments.untouchable();
    private final ReentrantReadWriteLock gate = new ReentrantReadWriteLock();
    /** The newest sequence number that was written to each block and told of. */
    private final AtomicLongArray told = new AtomicLongArray(BLOCKS);
    /** What each block holds at a boundary, for each that was sealed. */
    private final Map<Long, long[]> sealed = new ConcurrentHashMap<>();

    private volatile long committed;
    private volatile boolean done;

    @Test
    void aReaderSeesTheNewestWriteAndCommitsWhole() throws Exception {
        sealed.put(0L, new long[BLOCKS]);
        try (ExecutorService threads = Executors.newCachedThreadPool()) {
            List<Future<?>> readers = new ArrayList<>();
            readers.add(threads.submit(this::readNewest));
            readers.add(threads.submit(this::readCommitted));
            Future<?> committing = threads.submit(this::commit);
            try {
                write();
            } finally {
                done = true;
            }
            committing.get();
            for (Future<?> reader : readers) {
                reader.get();
            }
        }
        assertThat(sealed).hasSizeGreaterThan(10);
        assertThat(overlay.uncommittedBytes()).isZero();
    }

    private void write() {
        Random random = new Random(1);
        for (long sequence = 1; sequence <= WRITES; sequence++) {
            int first = random.nextInt(BLOCKS);
            int count = 1 + random.nextInt(Math.min(3, BLOCKS - first));
            gate.readLock().lock();
            try {
                overlay.insert(new JournalRecord(segment, 0, RecordKind.WRITE, sequence, first, count));
                for (int block = first; block < first + count; block++) {
                    told.set(block, sequence);
                }
            } finally {
                gate.readLock().unlock();
            }
        }
    }

    private void commit() {
        for (boolean last = false; !last; ) {
            last = done;
            long[] blocks = new long[BLOCKS];
            long boundary;
            gate.writeLock().lock();
            try {
                Arrays.setAll(blocks, told::get);
                boundary = Arrays.stream(blocks).max().orElseThrow();
                sealed.put(boundary, blocks);
                overlay.freeze(boundary);
            } finally {
                gate.writeLock().unlock();
            }
            overlay.commitThrough(boundary);
            committed = boundary;
        }
    }

    private void readNewest() {
        Random random = new Random(2);
        while (!done) {
            int block = random.nextInt(BLOCKS);
            long atLeast = told.get(block);
            assertThat(read(block, block + 1, Horizon.NEWEST)[0]).isGreaterThanOrEqualTo(atLeast);
        }
    }

    private void readCommitted() {
        while (!done) {
            long atLeast = committed;
            long[] found = read(0, BLOCKS, Horizon.COMMITTED);
            long newest = Arrays.stream(found).max().orElseThrow();
            assertThat(newest).isGreaterThanOrEqualTo(atLeast);
            assertThat(sealed.get(newest)).isEqualTo(found);
        }
    }

    private long[] read(int start, int end, Horizon horizon) {
        long[] found = new long[end - start];
        List<Piece> pieces = overlay.resolve(start, end, horizon);
        for (Piece piece : pieces) {
            JournalRecord record = piece.record();
            Arrays.fill(
                    found,
                    (int) piece.start() - start,
                    (int) piece.end() - start,
                    record == null ? 0 : record.sequence());
        }
        Overlay.release(pieces);
        return found;
    }
}
