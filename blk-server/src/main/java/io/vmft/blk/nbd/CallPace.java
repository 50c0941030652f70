package io.vmft.blk.nbd;

/**
 * Decides where calls of one kind run. As long as storage answers from memory, a hand-over to another thread would cost more than
 * the call itself: then calls run on the event loop. When several calls close together were slow, the following ones go to other
 * threads until a good number in a row were fast. One slow call alone means nothing: the scheduler may have taken
 * the processor away in its middle. Confined to an event loop.
 */
final class CallPace {
    /** Of a call into an image: with other threads several of them go on side by side. */
    private static final long SLOW_NANOS = 300_000;
    /** Of an append, which waits for the one before on any thread: elsewhere it is no faster, only the loop's others go on. */
    private static final long SLOW_APPEND_NANOS = 1_500_000;
    /** What copying may cost on top, 1 ns a byte being 1 GB/s. */
    private static final long SLOW_NANOS_PER_BYTE = 1;

    /** A slow call outweighs this many fast ones. */
    private static final int SLOW_WEIGHT = 16;
    /** Three slow calls close together. */
    private static final int TOO_SLOW = 40;
    /** So many fast calls at most make up for whatever was before. */
    private static final int MAX_SCORE = 64;

    private final long slowNanos;
    private int score;
    private boolean slow;

    private CallPace(long slowNanos) {
        this.slowNanos = slowNanos;
    }

    /** Of calls that read or write an image. */
    static CallPace ofImage() {
        return new CallPace(SLOW_NANOS);
    }

    /** Of calls that append to a journal. */
    static CallPace ofJournal() {
        return new CallPace(SLOW_APPEND_NANOS);
    }

    boolean isFast() {
        return !slow;
    }

    void took(long nanos, int bytes) {
        if (nanos > slowNanos + bytes * SLOW_NANOS_PER_BYTE) {
            score = Math.min(MAX_SCORE, score + SLOW_WEIGHT);
        } else if (score > 0) {
            score--;
        }
        if (score > TOO_SLOW) {
            slow = true;
        } else if (score == 0) {
            slow = false;
        }
    }
}
