package io.vmft.blk.journal;

import java.util.HashMap;
import java.util.Map;

/**
 * What is known of all lanes before the journal is read.
 *
 * @param settled records at or below are not needed any more, by lane
 * @param newest no number at or below may be given out again
 * @param committed records at or below were synced: they are in the segments, or settled
 */
public record Watermarks(Map<Integer, Long> settled, long newest, long committed) {
    public static final Watermarks NONE = new Watermarks(Map.of(), 0, 0);

    public Watermarks {
        settled = Map.copyOf(settled);
    }

    /** Puts together what is stored of volumes and VMs, by lane. */
    public static Watermarks of(Map<Integer, LaneMarks> volumes, Map<Integer, Long> settledVms) {
        Map<Integer, Long> settled = new HashMap<>(settledVms);
        long newest = 0;
        long committed = 0;
        for (Map.Entry<Integer, LaneMarks> lane : volumes.entrySet()) {
            LaneMarks marks = lane.getValue();
            settled.put(lane.getKey(), marks.applied());
            newest = Math.max(newest, marks.newest());
            committed = Math.max(committed, marks.committed());
        }
        for (long mark : settledVms.values()) {
            newest = Math.max(newest, mark);
        }
        return new Watermarks(settled, newest, committed);
    }
}
