package io.vmft.blk.server;

import java.time.Duration;

/**
 * How the epoch journal is kept.
 *
 * @param limitBytes journal bytes not yet in the images, above which writers wait
 * @param segmentBytes size of the journal's files
 * @param applyInterval how long a protected volume's commits gather before they go to the image
 * @param writerPatience how long a writer waits for room before it may exceed the limit by up to a quarter
 */
public record JournalSettings(long limitBytes, long segmentBytes, Duration applyInterval, Duration writerPatience) {
    public static final JournalSettings DEFAULT =
            new JournalSettings(1L << 30, 64 << 20, Duration.ofSeconds(1), Duration.ofMillis(250));

    private static final long MIN_SEGMENT_BYTES = 64 << 10;

    public JournalSettings {
        if (segmentBytes < MIN_SEGMENT_BYTES || segmentBytes > 1L << 30 || segmentBytes % 4096 != 0) {
            throw new IllegalArgumentException(
                    "journal segments of " + segmentBytes + " bytes; use a multiple of 4096 from 64K to 1G");
        }
        if (limitBytes < 2 * segmentBytes) {
            throw new IllegalArgumentException(
                    "a journal of " + limitBytes + " bytes; it must hold two segments of " + segmentBytes);
        }
    }

    public JournalSettings withSizes(long limit, long segment) {
        return new JournalSettings(limit, segment, applyInterval, writerPatience);
    }

    public JournalSettings withApplyInterval(Duration interval) {
        return new JournalSettings(limitBytes, segmentBytes, interval, writerPatience);
    }

    public JournalSettings withWriterPatience(Duration patience) {
        return new JournalSettings(limitBytes, segmentBytes, applyInterval, patience);
    }
}
