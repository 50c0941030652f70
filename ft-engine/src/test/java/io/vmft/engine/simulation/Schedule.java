package io.vmft.engine.simulation;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Time and chance of one simulated run, all from one seed: what happens next, and what happens at all. Time is counted in ticks; what is to
 * happen in the same tick happens in the order in which it was asked for.
 */
final class Schedule {
    private final Random random;
    private final @Nullable List<Runnable>[] ticks;
    private final int calmFrom;
    private int now;

    /**
     * A run that has not begun.
     *
     * @param calmFrom from this tick on nothing is unusual any more
     * @param end what is to happen after this tick does not happen
     */
    @SuppressWarnings({"unchecked", "rawtypes"}) // an array of lists
    Schedule(long seed, int calmFrom, int end) {
        random = new Random(seed * 0x9E3779B97F4A7C15L);
        this.calmFrom = calmFrom;
        ticks = new List[end + 1];
    }

    long now() {
        return now;
    }

    void after(long delay, Runnable action) {
        long at = now + delay;
        if (at >= ticks.length) {
            return;
        }
        List<Runnable> then = ticks[(int) at];
        if (then == null) {
            then = new ArrayList<>(8);
            ticks[(int) at] = then;
        }
        then.add(action);
    }

    /** Once in {@code n} times. */
    boolean onceIn(int n) {
        return random.nextInt(n) == 0;
    }

    int between(int least, int most) {
        return least + random.nextInt(most - least + 1);
    }

    /** Whether something unusual happens, which it does once in {@code n} times until all is calm. */
    boolean unusual(int n) {
        return now < calmFrom && onceIn(n);
    }

    /** How long a message or a piece of work takes: mostly little. */
    long delay() {
        return unusual(10) ? random.nextInt(60) : random.nextInt(5);
    }

    /** Lets everything happen. */
    void run() {
        for (now = 0; now < ticks.length; now++) {
            List<Runnable> due = ticks[now];
            // What is due may ask for more in the same tick.
            for (int i = 0; due != null && i < due.size(); i++) {
                due.get(i).run();
            }
            ticks[now] = null;
        }
        now = ticks.length - 1;
    }
}
