package io.vmft.engine.primary;

import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/** What checkpoints cost, in nanoseconds. On the engine's loop only. */
public final class EpochStats {
    private static final long LONGEST_NANOS = TimeUnit.MINUTES.toNanos(10);

    private final Histogram pauses = new Histogram(1, LONGEST_NANOS, 3);
    private long committed;
    private long voided;
    private long dirtyPagesLast;

    void pause(long nanos) {
        pauses.recordValue(Math.clamp(nanos, 1, LONGEST_NANOS));
    }

    void dirtyPages(long pages) {
        dirtyPagesLast = pages;
    }

    void committed(long epochs) {
        committed += epochs;
    }

    void voided() {
        voided++;
    }

    public long epochs() {
        return committed;
    }

    public long voidCheckpoints() {
        return voided;
    }

    public long dirtyPagesLast() {
        return dirtyPagesLast;
    }

    /** A percentile of the pauses in milliseconds, 0 before the first. */
    public double pauseMillis(double percentile) {
        return pauses.getTotalCount() == 0 ? 0 : pauses.getValueAtPercentile(percentile) / 1e6;
    }
}
