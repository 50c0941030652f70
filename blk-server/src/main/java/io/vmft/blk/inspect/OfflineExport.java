package io.vmft.blk.inspect;

import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.control.RecoveryPlan.VmPlan;
import io.vmft.blk.control.RecoveryPlan.VolumePlan;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.JournalScan.Found;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentView;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.volume.VolumeImage;
import io.vmft.blk.volume.VolumeReader;
import io.vmft.proto.blk.v1.Mode;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * Writes what a volume held at an epoch, or what a server that starts now would serve, into a file of its own: of a server that does not
 * run. The image may hold a part of the last committed epoch already, but never anything newer, so what is committed and everything
 * sealed after it can be put together, and nothing older.
 */
public final class OfflineExport {
    /** Asked for instead of a number: what a server that starts now would serve. */
    public static final String COMMITTED = "committed";

    private static final int PIECE_BYTES = 1 << 20;

    private final OfflineData data;
    private final String name;

    private OfflineExport(OfflineData data, String name) {
        this.data = data;
        this.name = name;
    }

    /**
     * Writes it.
     *
     * @param epoch a number, or {@link #COMMITTED}
     * @return what was written, in a few words
     * @throws IOException with one line for the operator; then there is no file
     */
    public static String run(OfflineData data, String volume, String epoch, Path to) throws IOException {
        return new OfflineExport(data, volume).run(epoch, to);
    }

    private String run(String epoch, Path to) throws IOException {
        try (MetaView view = MetaView.openReadOnly(data.index(), true)) {
            StoredState stored = StoredState.read(view);
            VolumeRegistration volume = stored.volumes().get(name);
            if (volume == null) {
                throw new IOException("there is no volume " + name + "; there are "
                        + String.join(", ", stored.volumes().keySet()));
            }
            for (SegmentEntry entry : stored.segments()) {
                Path file = entry.path(data.journal());
                if (!Files.isReadable(file) || Files.size(file) < entry.sizeBytes()) {
                    throw new IOException(file
                            + ": this part of the journal is missing, short or cannot be read; see blk-server check");
                }
            }
            List<SegmentView> segments = data.open(stored.segments());
            try {
                JournalScan.Collector collector =
                        new JournalScan.Collector(stored.watermarks().settled());
                for (SegmentView segment : segments) {
                    segment.scan(stored.watermarks().committed(), collector, _ -> {});
                }
                JournalScan scan = collector.scan(segments.size(), 0);
                data.requireWholeIndex(view, scan, segments);
                RecoveryPlan plan = data.plan(view, stored, scan, OfflineData.lastSequence(stored, scan), 0);
                return write(volume, stored, plan, epoch, to);
            } finally {
                OfflineData.closeAll(segments);
            }
        }
    }

    private String write(VolumeRegistration volume, StoredState stored, RecoveryPlan plan, String epoch, Path to)
            throws IOException {
        VolumePlan next = plan.volume(name);
        if (next.stops() != null) {
            throw new IOException(name + ": " + next.stops() + "; see blk-server check");
        }
        RecoveredVms.Stored holder = stored.holder(name);
        VmPlan vm = holder == null ? null : plan.vm(holder.name());
        long through;
        String what;
        if (epoch.equals(COMMITTED) && vm != null && vm.state().mode() == Mode.PROTECTED) {
            through = next.volume().marks().committed();
            what = "epoch " + vm.state().record().getCommittedEpoch() + ", committed";
        } else if (epoch.equals(COMMITTED)) {
            through = Long.MAX_VALUE;
            what = "everything it holds; no commit stands behind it";
        } else if (vm == null || !vm.state().journals()) {
            throw new IOException(name + " is not journaled by epoch now"
                    + (vm == null
                            ? ", no VM holds it"
                            : ", its VM " + vm.state().vm() + " is "
                                    + vm.state().mode())
                    + "; what it holds is exported as '" + COMMITTED + "'");
        } else {
            through = end(vm, next, Long.parseLong(epoch));
            what = "epoch " + epoch;
        }
        writeThrough(volume, next, plan.scan(), through, to);
        return what;
    }

    private long end(VmPlan vm, VolumePlan volume, long epoch) throws IOException {
        VmState state = vm.state();
        long committed = state.record().getCommittedEpoch();
        boolean commits = state.mode() == Mode.PROTECTED;
        if (commits && epoch == committed) {
            return volume.volume().marks().committed();
        }
        Long boundary = vm.boundaries().get(epoch);
        if (boundary != null) {
            return boundary;
        }
        List<String> available = new ArrayList<>();
        if (commits) {
            available.add(committed + " (committed)");
        }
        state.inFlight().forEach(other -> available.add(other + " (sealed)"));
        throw new IOException(name + ": epoch " + epoch
                + (epoch <= committed
                        ? " cannot be put together any more, newer ones may be in the image"
                        : " is not sealed")
                + "; there are " + String.join(", ", available));
    }

    private void writeThrough(VolumeRegistration volume, VolumePlan plan, JournalScan scan, long through, Path to)
            throws IOException {
        Overlay overlay = new Overlay();
        for (Found found : scan.records()) {
            long sequence = found.header().sequence();
            boolean undone = plan.cut() != null && plan.cut().contains(sequence);
            if (found.header().lane() == volume.lane()
                    && sequence <= through
                    && plan.volume().needs(sequence)
                    && !undone) {
                overlay.insert(found.record());
            }
        }
        try (Arena arena = Arena.ofConfined();
                VolumeImage image = VolumeImage.open(data.files(), name, data.image(volume), 0, true);
                NewImage target = NewImage.begin(data.files(), to, volume.sizeBytes())) {
            if (image.sizeBytes() < volume.sizeBytes()) {
                throw new IOException(image.path() + ": the image has " + image.sizeBytes() + " bytes, the volume has "
                        + volume.sizeBytes() + "; restore it");
            }
            target.removeOnExit();
            VolumeReader reader = new VolumeReader(image, overlay);
            MemorySegment buffer = arena.allocate(PIECE_BYTES, 4096);
            for (long at = 0; at < volume.sizeBytes(); at += PIECE_BYTES) {
                MemorySegment piece = buffer.asSlice(0, Math.min(PIECE_BYTES, volume.sizeBytes() - at));
                if (reader.mayHold(at, at + piece.byteSize())) {
                    reader.readNewest(at, piece);
                    target.write(at, piece);
                }
            }
            target.finish();
        }
    }
}
