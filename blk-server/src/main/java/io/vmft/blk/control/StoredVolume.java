package io.vmft.blk.control;

import io.vmft.blk.journal.LaneMarks;

/** A volume as it is stored, for a {@link RecoveryPlan}. */
public record StoredVolume(String name, int lane, LaneMarks marks) {
    /** Whether a record is neither in the image nor undone. */
    public boolean needs(long sequence) {
        return sequence > marks.applied() && !marks.isDropped(sequence);
    }
}
