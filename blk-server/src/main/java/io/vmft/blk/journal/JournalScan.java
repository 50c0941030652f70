package io.vmft.blk.journal;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * What recovery found in the segment files.
 *
 * @param segments how many files were read
 * @param bytes in use in them
 * @param records valid ones that are not settled, in order
 * @param damages where records are missing or wrong although later ones are there
 */
public record JournalScan(int segments, long bytes, List<Found> records, List<Damage> damages) {

    /** Gathers what is found, in memory. Not thread-safe. */
    public static final class Collector implements SegmentSink {
        private final Map<Integer, Long> settled;
        private final List<Found> records = new ArrayList<>();
        private final List<Damage> damages = new ArrayList<>();

        /**
         * Makes an empty one.
         *
         * @param settled records at or below these numbers of their lanes are of no interest
         */
        public Collector(Map<Integer, Long> settled) {
            this.settled = settled;
        }

        @Override
        public void record(RecordHeader header, JournalRecord record) {
            if (header.sequence() > settled.getOrDefault(header.lane(), 0L)) {
                records.add(new Found(header, record));
            }
        }

        @Override
        public void damage(Damage damage) {
            damages.add(damage);
        }

        /** What was gathered, from so many segments with so many bytes in use. */
        public JournalScan scan(int segments, long bytes) {
            return new JournalScan(segments, bytes, records, damages);
        }
    }

    /** A valid record. */
    public record Found(RecordHeader header, JournalRecord record) {}

    /**
     * A place where something is wrong.
     *
     * @param firstSequence the first record concerned
     * @param lane whose record it is; {@link #ANY_LANE} if that cannot be read
     * @param what one line, with file and position
     */
    public record Damage(long firstSequence, int lane, String what) {
        public static final int ANY_LANE = -1;

        public boolean concerns(int someLane) {
            return lane == ANY_LANE || lane == someLane;
        }
    }
}
