package io.vmft.blk.server;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.config.Quantity;
import java.time.Duration;

/**
 * How the epoch journal is kept.
 *
 * @param limitBytes journal bytes not yet in the images, above which writers wait
 * @param segmentBytes size of the journal's files
 * @param applyInterval how long a protected volume's commits gather before they go to the image; sooner if they fill its share or rest
 * @param writerPatience how long a writer waits for room before it may exceed the limit by up to a quarter
 */
public record JournalSettings(long limitBytes, long segmentBytes, Duration applyInterval, Duration writerPatience) {
    public static final JournalSettings DEFAULT =
            new JournalSettings(1L << 30, 64 << 20, Duration.ofSeconds(10), Duration.ofMillis(250));

    private static final long MIN_SEGMENT_BYTES = 64 << 10;

    public JournalSettings {
        require(
                segmentBytes >= MIN_SEGMENT_BYTES && segmentBytes <= 1L << 30 && segmentBytes % 4096 == 0,
                "segment",
                Quantity.sizeInWords(segmentBytes) + " is not a multiple of 4096 from 64K to 1G");
        require(
                limitBytes >= 2 * segmentBytes,
                "limit",
                Quantity.sizeInWords(limitBytes) + " does not hold two segments of "
                        + Quantity.sizeInWords(segmentBytes));
        require(!applyInterval.isNegative(), "apply_interval", "is negative");
        require(!writerPatience.isNegative(), "writer_patience", "is negative");
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
