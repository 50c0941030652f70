package io.vmft.demo;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What the client saw: every request the service acknowledged, and when. One thread appends; any may look.
 *
 * <p>Times are {@link System#nanoTime}.
 */
final class History {
    /**
     * One acknowledged request.
     *
     * @param number the record's number as the service gave it
     * @param text as the client sent it
     */
    record Entry(long number, String text, long answeredNanos) {}

    private final List<Entry> entries = new ArrayList<>();

    synchronized void add(Entry entry) {
        entries.add(entry);
    }

    synchronized List<Entry> entries() {
        return List.copyOf(entries);
    }

    synchronized int size() {
        return entries.size();
    }

    /** When the last answer came; {@code fallback} if none has. */
    synchronized long lastAnswerNanos(long fallback) {
        return entries.isEmpty() ? fallback : entries.getLast().answeredNanos();
    }

    /**
     * The longest time the client waited between two answers around an event: among the gaps that end after {@code eventNanos} and begin
     * before {@code eventNanos + within}.
     *
     * @return zero if nothing was answered since
     */
    synchronized Duration blackout(long eventNanos, Duration within) {
        long longest = 0;
        for (int i = 1; i < entries.size(); i++) {
            long begin = entries.get(i - 1).answeredNanos();
            long end = entries.get(i).answeredNanos();
            if (end - eventNanos > 0 && begin - eventNanos < within.toNanos()) {
                longest = Math.max(longest, end - begin);
            }
        }
        return Duration.ofNanos(longest);
    }
}
