package io.vmft.engine.primary;

import java.util.function.LongSupplier;

/** Spreads bytes over time. Pure but for the clock it is given; not thread-safe. */
final class Pace {
    /** What may go at once after a while in which nothing went. */
    private static final long BURST_NANOS = 20_000_000;

    private final long bytesPerSecond;
    private final LongSupplier nanoClock;
    private long dueNanos;

    /**
     * Makes a pace.
     *
     * @param bytesPerSecond 0: as fast as it goes
     */
    Pace(long bytesPerSecond, LongSupplier nanoClock) {
        this.bytesPerSecond = bytesPerSecond;
        this.nanoClock = nanoClock;
        this.dueNanos = nanoClock.getAsLong();
    }

    /** Counts bytes that are about to go; returns how long they have to wait. */
    long waitNanos(long bytes) {
        if (bytesPerSecond == 0) {
            return 0;
        }
        long now = nanoClock.getAsLong();
        dueNanos = Math.max(dueNanos, now - BURST_NANOS);
        long wait = Math.max(0, dueNanos - now);
        dueNanos += (long) (bytes * 1e9 / bytesPerSecond);
        return wait;
    }
}
