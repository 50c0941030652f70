package io.vmft.engine.standby;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * Compares the image, which must stand still meanwhile, with what the primary's memory was. In steps, so that the engine's loop
 * can do other things between them.
 */
final class Verification {
    /** About 2 ms of work. */
    private static final int PIECES_IN_STEP = 16;

    private final StandbyEpochs.Due due;
    private final RamImage image;
    private final List<Integer> different = new ArrayList<>();
    private int next;

    Verification(StandbyEpochs.Due due, RamImage image) {
        this.due = due;
        this.image = image;
    }

    long epoch() {
        return due.epoch();
    }

    /** Looks at a few pieces; returns whether more are left. */
    boolean step() {
        int[] expected = due.digests().memory();
        int end = Math.min(next + PIECES_IN_STEP, expected.length);
        for (; next < end; next++) {
            if (image.digest(next) != expected[next]) {
                different.add(next);
            }
        }
        return next < expected.length;
    }

    boolean isEqual() {
        return different.isEmpty();
    }

    /** What differs, for the operators of both hosts. */
    String inWords() {
        return String.format(
                Locale.ROOT,
                "at epoch %d, %d of %d MiB of guest memory differ, the first at 0x%x",
                due.epoch(),
                different.size(),
                due.digests().memory().length,
                (long) different.getFirst() << 20);
    }
}
