package io.vmft.bench.micro;

import java.io.IOException;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;

/** Appending to a journal on the file system for temporary files. Nothing is synced; segments are used again. */
@State(Scope.Thread)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
public class JournalBenchmark {
    private final TemporaryJournal journal;

    /** Opens it. */
    public JournalBenchmark() {
        try {
            journal = new TemporaryJournal();
        } catch (IOException e) {
            throw new IllegalStateException("no journal to measure: " + e.getMessage(), e);
        }
    }

    /** Deletes it. */
    @TearDown
    public void close() throws IOException {
        journal.close();
    }

    /** A 4 KiB write, with its checksum. */
    @Benchmark
    public long append4k() throws IOException {
        return journal.append().sequence();
    }
}
