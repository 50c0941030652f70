package io.vmft.engine.primary;

import io.vmft.engine.config.Copying.Compression;
import java.time.Duration;

/**
 * Decides when pages are compressed: while the link, not the processor, is what checkpoints wait for. It is told after each epoch how
 * long the connection took for what was still queued when the last of the epoch was handed to it, and how much it carried. Pure.
 */
final class LinkPressure {
    private static final int EPOCHS_TO_BEGIN = 3;
    private static final int FIRST_HOLD_EPOCHS = 64;
    private static final int MAX_HOLD_EPOCHS = 4096;

    /** A link that carries more is faster than one thread compresses. */
    static final double FAST_BYTES_PER_SECOND = 512 << 20;

    private final Compression wish;
    private final long epochNanos;
    private boolean compressing;
    private int slowInARow;
    /** Nothing was changed too early at first. */
    private int epochsSinceChange = MAX_HOLD_EPOCHS;
    /** How many epochs in a row must be easy before the effort is saved again; doubled when that was too early. */
    private int holdEpochs = FIRST_HOLD_EPOCHS;

    private int easyInARow;

    LinkPressure(Compression wish, Duration epoch) {
        this.wish = wish;
        this.epochNanos = epoch.toNanos();
        this.compressing = wish == Compression.ALWAYS;
    }

    /** Whether the next epoch's pages shall be compressed. */
    boolean compressing() {
        return compressing;
    }

    /**
     * An epoch has left this host.
     *
     * @param queueNanos how long after the last of it came
     * @param bytesPerSecond of its pages from when the first of them came
     */
    void sent(long queueNanos, double bytesPerSecond) {
        if (wish != Compression.AUTO) {
            return;
        }
        epochsSinceChange = Math.min(epochsSinceChange + 1, MAX_HOLD_EPOCHS);
        boolean slow = queueNanos > epochNanos / 2 && bytesPerSecond < FAST_BYTES_PER_SECOND;
        slowInARow = slow ? slowInARow + 1 : 0;
        easyInARow = queueNanos <= epochNanos / 8 ? easyInARow + 1 : 0;
        if (!compressing && slowInARow >= EPOCHS_TO_BEGIN) {
            holdEpochs = epochsSinceChange < holdEpochs ? Math.min(2 * holdEpochs, MAX_HOLD_EPOCHS) : FIRST_HOLD_EPOCHS;
            change(true);
        } else if (compressing && easyInARow >= holdEpochs) {
            change(false);
        }
    }

    private void change(boolean now) {
        compressing = now;
        slowInARow = 0;
        easyInARow = 0;
        epochsSinceChange = 0;
    }
}
