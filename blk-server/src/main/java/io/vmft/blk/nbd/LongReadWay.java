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
    /** What a way took in its latest windows. */
    private static final class Cost {
        private final double[] nanosPerByte = new double[FIRST_WINDOWS / 2];
        private int windows;

        void add(double window) {
            nanosPerByte[windows++ % nanosPerByte.length] = window;
        }

        /** The least of them: whatever else the machine does only adds to a window. */
        double least() {
            double least = Double.MAX_VALUE;
            for (double window : nanosPerByte) {
                least = Math.min(least, window);
            }
            return least;
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
    /** Those of them that went the other way. Until they have ended nothing is counted, for both ways' work is mixed. */
    private int othersUnderWay;

    private long countedUntil;

    /** The way the next long read is to go. */
    Way next() {
        return way;
    }

    /** A long read, or a piece of one, begins, which goes this way. */
    void begun(Way taken, long now) {
        if (underWay++ == 0) {
            countedUntil = now;
        }
        if (taken != way) {
            // The rest of a read that was begun before the way changed.
            othersUnderWay++;
        }
    }

    /** The socket has taken all of it, or the connection has ended. Reads end in the order they began in, nearly always. */
    void sent(int bytes, long now) {
        underWay--;
        if (othersUnderWay > 0) {
            othersUnderWay--;
        } else {
            windowBytes += bytes;
            windowNanos += now - countedUntil;
        }
        countedUntil = now;
        if (windowBytes >= WINDOW_BYTES) {
            (way == Way.SEND_FILE ? sending : copying).add((double) windowNanos / windowBytes);
            windowBytes = 0;
            windowNanos = 0;
            Way before = way;
            way = afterWindow();
            othersUnderWay = way == before ? 0 : underWay;
        }
    }

    private Way afterWindow() {
        windows++;
        if (windows < FIRST_WINDOWS) {
            return other(way);
        }
        Way before = better;
        better = copying.least() < sending.least() * CLEARLY_FASTER ? Way.COPY : Way.SEND_FILE;
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
