package io.vmft.blk.nbd;

/**
 * Decides where calls of one kind run. As long as storage answers from memory, a hand-over to another thread would cost more than
 * the call itself: then calls run on the event loop. A slow call sends the following ones to other threads until
 * {@value #FAST_CALLS_IN_A_ROW} in a row were fast. Confined to an event loop.
 */
final class CallPace {
    private static final int FAST_CALLS_IN_A_ROW = 64;
    private static final long SLOW_NANOS = 300_000;
    /** What copying may cost on top, 1 ns a byte being 1 GB/s. */
    private static final long SLOW_NANOS_PER_BYTE = 1;

    private int fastCallsMissing;

    boolean isFast() {
        return fastCallsMissing == 0;
    }

    void took(long nanos, int bytes) {
        if (nanos > SLOW_NANOS + bytes * SLOW_NANOS_PER_BYTE) {
            fastCallsMissing = FAST_CALLS_IN_A_ROW;
        } else if (fastCallsMissing > 0) {
            fastCallsMissing--;
        }
    }
}
