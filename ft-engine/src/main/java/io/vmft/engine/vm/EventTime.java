package io.vmft.engine.vm;

import java.time.Instant;

/** QEMU's events carry the time of day; everything else here is measured by {@link System#nanoTime}. */
final class EventTime {
    private static final int TRIES = 3;
    private static final long CLOSE_NANOS = 2_000;

    private EventTime() {}

    /** The moment of an event that has just come, by the other clock; as exact as both can be read at once. */
    static long nanos(long eventMicros) {
        long best = Long.MAX_VALUE;
        long difference = 0;
        for (int i = 0; i < TRIES && best > CLOSE_NANOS; i++) {
            long before = System.nanoTime();
            Instant now = Instant.now();
            long after = System.nanoTime();
            if (after - before < best) {
                best = after - before;
                difference = before + best / 2 - (now.getEpochSecond() * 1_000_000_000L + now.getNano());
            }
        }
        return eventMicros * 1_000 + difference;
    }
}
