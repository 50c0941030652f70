package io.vmft.blk.journal;

import java.util.List;

/**
 * What recovery found in the segment files.
 *
 * @param segments how many files were read
 * @param records valid ones that are not settled, in order
 * @param damages where records are missing or wrong although later ones are there
 */
public record JournalScan(int segments, List<Found> records, List<Damage> damages) {

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
