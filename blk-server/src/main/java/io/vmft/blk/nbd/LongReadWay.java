package io.vmft.blk.nbd;

/**
 * Chooses how one connection's long reads go to its client, by what either way was found to take. Which is faster is known to none
 * beforehand: it depends on the kind of socket, on the units the page cache happens to hold the image in, and on the machine
 * ({@code docs/decisions/nbd-speed.md}). What is compared is the time in which long reads were under way, for each byte the
 * socket took: a client's pauses do not count, what the client itself has to do for the bytes does. First both ways take turns,
 * then the slower one is tried ever more rarely. Confined to an event loop; time is given to it.
 */
final class LongReadWay {
    enum Way {
        /** The kernel sends from the page cache. It takes no memory, so it is preferred unless it is clearly slower. */
        SEND_FILE,
        /** The data is read into this process's memory and sent from there. */
        COPY
    }

    /** So much is sent one way before that counts. */
    private static final long WINDOW_BYTES = 8 << 20;
    /** So many windows of taking turns. */
    private static final int FIRST_WINDOWS = 8;
    /** So many windows are between two trials of the slower way at first, and at most. */
    private static final int MIN_TRIAL_INTERVAL = 32;

    private static final int MAX_TRIAL_INTERVAL = 512;
    /** Copying must take less than this part of the time. */
    private static final double CLEARLY_FASTER = 7.0 / 8;
    /** What a new window weighs beside all before it. */
    private static final double WEIGHT = 1.0 / 4;

    /** What a way took, the latest windows weighing most. */
    private static final class Cost {
        /** 0: not known. */
        private double nanosPerByte;

        void add(double window) {
            nanosPerByte = nanosPerByte == 0 ? window : nanosPerByte + (window - nanosPerByte) * WEIGHT;
        }
    }

    private final Cost sending = new Cost();
    private final Cost copying = new Cost();
    private Way way = Way.SEND_FILE;
    private Way better = Way.SEND_FILE;
    private int windows;
    private int trialInterval = MIN_TRIAL_INTERVAL;
    private int untilTrial = MIN_TRIAL_INTERVAL;

    private long windowBytes;
    private long windowNanos;
    private int underWay;
    private long countedUntil;

    /** The way the next long read is to go. */
    Way next() {
        return way;
    }

    /** A long read, or a piece of one, begins. */
    void begun(long now) {
        if (underWay++ == 0) {
            countedUntil = now;
        }
    }

    /** The socket has taken all of it. */
    void sent(Way taken, int bytes, long now) {
        underWay--;
        if (taken == way) {
            windowBytes += bytes;
            windowNanos += now - countedUntil;
        }
        countedUntil = now;
        if (windowBytes >= WINDOW_BYTES) {
            (way == Way.SEND_FILE ? sending : copying).add((double) windowNanos / windowBytes);
            windowBytes = 0;
            windowNanos = 0;
            way = afterWindow();
        }
    }

    private Way afterWindow() {
        windows++;
        if (windows < FIRST_WINDOWS) {
            return other(way);
        }
        Way before = better;
        better = copying.nanosPerByte < sending.nanosPerByte * CLEARLY_FASTER ? Way.COPY : Way.SEND_FILE;
        if (better != before) {
            trialInterval = MIN_TRIAL_INTERVAL;
            untilTrial = trialInterval;
        }
        if (--untilTrial > 0) {
            return better;
        }
        trialInterval = Math.min(2 * trialInterval, MAX_TRIAL_INTERVAL);
        untilTrial = trialInterval;
        return other(better);
    }

    private static Way other(Way way) {
        return way == Way.SEND_FILE ? Way.COPY : Way.SEND_FILE;
    }
}
