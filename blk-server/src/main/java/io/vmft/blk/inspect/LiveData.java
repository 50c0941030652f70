package io.vmft.blk.inspect;

import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentView;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.JournalReply;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.LongConsumer;

/**
 * A running server, looked at while it goes on. It takes no lock for longer than it takes to copy a list, and reads no faster than the
 * caller lets it.
 */
public record LiveData(MetaStore meta, Journal journal, VolumeTable volumes) {
    /**
     * Checks what can be checked: the index as it stands at one moment, every record of the segments that are in use now, and whether
     * volumes have failed. Images and change maps are being written and are not read.
     *
     * @return in a few words, what was looked at
     */
    public String check(Findings findings, LongConsumer pace) throws IOException {
        // In this order: what the index says to be settled afterwards was there before.
        List<SegmentView> segments = journal.look();
        try {
            StoredState stored;
            try (MetaView moment = meta.snapshot()) {
                moment.verifyChecksums();
                stored = StoredState.read(moment);
            } catch (IOException e) {
                findings.inconsistent(String.valueOf(e.getMessage()));
                return "the index only";
            }
            ArbiterCheck.run(stored, findings);
            JournalScan scan = new JournalCheck(stored, findings).scan(segments, pace);
            for (Volume volume : volumes.all()) {
                check(volume, findings);
            }
            return "%d volumes, %d VMs, %d segments (%.1f MiB in use), %d records not settled"
                    .formatted(
                            stored.volumes().size(),
                            stored.vms().stored().size(),
                            scan.segments(),
                            scan.bytes() / 1048576.0,
                            scan.records().size());
        } finally {
            OfflineData.closeAll(segments);
        }
    }

    private static void check(Volume volume, Findings findings) throws IOException {
        String failure = volume.failure();
        if (failure != null) {
            findings.inconsistent("volume " + volume.name() + " is stopped: " + failure
                    + "; restore the journal's file from a copy, or the volume from a backup");
        }
        // Only by its name: opening and closing the file would give up the server's lock on it.
        var path = volume.image().path();
        if (!Files.exists(path)) {
            findings.inconsistent(path + ": the image of volume " + volume.name()
                    + " was removed while it is served; copy the volume to another before the server stops");
        } else if (Files.isRegularFile(path)
                && Files.size(path) < volume.image().sizeBytes()) {
            findings.inconsistent(path + ": the image of volume " + volume.name() + " has " + Files.size(path)
                    + " bytes, it is served with " + volume.image().sizeBytes() + "; restore the volume from a backup");
        }
    }

    /** Tells what the journal holds. */
    public void list(Consumer<JournalReply> to, LongConsumer pace) throws IOException {
        List<SegmentView> segments = journal.look();
        try {
            StoredState stored;
            try (MetaView moment = meta.snapshot()) {
                stored = StoredState.read(moment);
            }
            JournalListing.of(stored, segments, journal.activeSegment(), pace).forEach(to);
        } finally {
            OfflineData.closeAll(segments);
        }
    }
}
