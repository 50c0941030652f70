package io.vmft.blk.inspect;

import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.Recovery;
import io.vmft.blk.control.StoredVolume;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.blk.journal.Watermarks;
import java.io.IOException;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Everything the index says, decoded.
 *
 * @param lastLane the newest lane number given out
 * @param marks of the volumes, by lane
 * @param markedLanes lanes that have watermarks, whoever's they are
 * @param segments in the order of their records
 */
record StoredState(
        int lastLane,
        RecoveredVms vms,
        Map<String, VolumeRegistration> volumes,
        Map<Integer, LaneMarks> marks,
        Set<Integer> markedLanes,
        List<SegmentEntry> segments) {

    /** Reads it all; what cannot be decoded is an error. */
    static StoredState read(MetaView view) throws IOException {
        Map<String, VolumeRegistration> volumes = view.volumes();
        Map<Integer, LaneMarks> marks = new HashMap<>();
        for (VolumeRegistration volume : volumes.values()) {
            marks.put(volume.lane(), view.lane(volume.lane()));
        }
        List<SegmentEntry> segments = view.segments().stream()
                .sorted(Comparator.comparingLong(SegmentEntry::firstSequence).thenComparingLong(SegmentEntry::id))
                .toList();
        return new StoredState(view.lastLane(), Recovery.load(view), volumes, marks, view.lanes(), segments);
    }

    Watermarks watermarks() {
        return Watermarks.of(marks, Recovery.settledLanes(vms));
    }

    List<StoredVolume> storedVolumes() {
        return volumes.values().stream().map(this::stored).toList();
    }

    StoredVolume stored(VolumeRegistration volume) {
        return new StoredVolume(volume.name(), volume.lane(), marks.getOrDefault(volume.lane(), LaneMarks.NONE));
    }

    /** The VM that holds a volume; null: none. */
    RecoveredVms.@Nullable Stored holder(String volume) {
        return vms.stored().stream()
                .filter(vm -> vm.state().record().getVolumesList().contains(volume))
                .findFirst()
                .orElse(null);
    }
}
