package io.vmft.blk.inspect;

import io.vmft.blk.control.Recovery;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.IndexWitness;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentView;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.blk.journal.Watermarks;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * The directory of a server that does not run, whose lock the caller holds. Nothing in it is changed.
 *
 * @param index the folder of the index
 * @param journal the folder of the segments
 * @param changes the folder of the change maps
 * @param images where volumes' images are now, if elsewhere than when they were last served
 * @param bootId of the running kernel
 */
public record OfflineData(
        Path index, Path journal, Path changes, Map<String, Path> images, String bootId, StoreFiles files) {
    public OfflineData {
        images = Map.copyOf(images);
    }

    Path image(VolumeRegistration volume) {
        return Objects.requireNonNullElseGet(images.get(volume.name()), () -> Path.of(volume.image()));
    }

    List<SegmentView> open(List<SegmentEntry> entries) throws IOException {
        List<SegmentView> opened = new ArrayList<>();
        try {
            for (SegmentEntry entry : entries) {
                opened.add(SegmentView.open(files, journal, entry));
            }
            return opened;
        } catch (IOException e) {
            closeAll(opened);
            throw e;
        }
    }

    static void closeAll(List<SegmentView> segments) throws IOException {
        for (SegmentView segment : segments) {
            segment.close();
        }
    }

    /**
     * Refuses an index that has lost something, as a server does: what it says is not what was promised.
     *
     * @param found what was read of {@code segments}
     * @throws IOException with one line for the operator
     */
    void requireWholeIndex(MetaView view, JournalScan found, List<SegmentView> segments) throws IOException {
        IndexWitness.check(view, journal, files, found, segments);
    }

    /** What a server that starts now would make of it. */
    RecoveryPlan plan(MetaView view, StoredState stored, JournalScan scan, long lastSequence, long nowMillis)
            throws IOException {
        return RecoveryPlan.make(
                stored.vms(), stored.storedVolumes(), scan, Recovery.powerLost(view, bootId), lastSequence, nowMillis);
    }

    /** The newest number given out. */
    static long lastSequence(StoredState stored, JournalScan scan) {
        Watermarks known = stored.watermarks();
        long last = known.newest();
        for (SegmentEntry entry : stored.segments()) {
            last = Math.max(last, Math.max(entry.lastSequence(), entry.firstSequence() - 1));
        }
        return scan.records().isEmpty()
                ? last
                : Math.max(last, scan.records().getLast().header().sequence());
    }
}
