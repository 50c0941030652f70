package io.vmft.bench.micro;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.overlay.Horizon;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.overlay.Piece;
import java.io.IOException;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** An overlay with {@value #COMMITTED} committed 4 KiB extents at random places of a 4 GiB volume, as a busy second leaves it. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class OverlayBenchmark {
    private static final int BLOCK_BYTES = 4096;
    private static final int BLOCKS = 1 << 20;
    private static final int COMMITTED = 50_000;
    /** Writes of one epoch. */
    private static final int EPOCH = 1000;

    private final SplittableRandom random = new SplittableRandom(1);
    private final TemporaryJournal journal;
    private Overlay full = new Overlay();
    private long sequence;

    /** Makes the files a record must be in. */
    public OverlayBenchmark() {
        try {
            journal = new TemporaryJournal();
        } catch (IOException e) {
            throw new IllegalStateException("no journal to measure: " + e.getMessage(), e);
        }
    }

    /** Fills the overlay that is read. */
    @Setup
    public void fill() {
        full = new Overlay();
        for (int i = 0; i < COMMITTED; i++) {
            full.insert(record());
        }
        full.freeze(sequence);
        full.commitThrough(sequence);
    }

    /** Deletes the files. */
    @TearDown
    public void close() throws IOException {
        journal.close();
    }

    private JournalRecord record() {
        sequence++;
        return new JournalRecord(
                journal.first().segment(),
                0,
                RecordKind.WRITE,
                sequence,
                (long) random.nextInt(BLOCKS) * BLOCK_BYTES,
                BLOCK_BYTES);
    }

    /** One epoch's writes; what they cost the heap is what the index keeps of them. */
    @Benchmark
    @OperationsPerInvocation(EPOCH)
    public Overlay insert() {
        Overlay overlay = new Overlay();
        for (int i = 0; i < EPOCH; i++) {
            overlay.insert(record());
        }
        return overlay;
    }

    /** One epoch's writes, and merging them with those of the epoch before. */
    @Benchmark
    @OperationsPerInvocation(2 * EPOCH)
    public Overlay insertAndAbsorb() {
        Overlay overlay = new Overlay();
        for (int epoch = 0; epoch < 2; epoch++) {
            for (int i = 0; i < EPOCH; i++) {
                overlay.insert(record());
            }
            overlay.freeze(sequence);
            overlay.commitThrough(sequence);
        }
        return overlay;
    }

    /** Where a 4 KiB read finds its bytes; one in twenty in the overlay. */
    @Benchmark
    public int resolve() {
        long start = (long) random.nextInt(BLOCKS) * BLOCK_BYTES;
        List<Piece> pieces = full.resolve(start, start + BLOCK_BYTES, Horizon.NEWEST);
        int count = pieces.size();
        Overlay.release(pieces);
        return count;
    }

    /** Where a 1 MiB read finds them: about 25 pieces. */
    @Benchmark
    public int resolveLong() {
        long start = (long) random.nextInt(BLOCKS - 256) * BLOCK_BYTES;
        List<Piece> pieces = full.resolve(start, start + (1 << 20), Horizon.NEWEST);
        int count = pieces.size();
        Overlay.release(pieces);
        return count;
    }
}
