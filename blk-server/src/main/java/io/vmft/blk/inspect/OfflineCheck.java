package io.vmft.blk.inspect;

import io.vmft.blk.changes.ChangeMap;
import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.control.RecoveryPlan.VmPlan;
import io.vmft.blk.control.RecoveryPlan.VolumePlan;
import io.vmft.blk.journal.FormatException;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentView;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.proto.blk.v1.Mode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Whether everything that a server left is consistent, and what the next one would make of it. */
public final class OfflineCheck {
    private final OfflineData data;
    private final Findings findings;

    private OfflineCheck(OfflineData data, Findings findings) {
        this.data = data;
        this.findings = findings;
    }

    /** Checks all there is; says in a few words what that was. */
    public static String run(OfflineData data, Findings findings) {
        OfflineCheck check = new OfflineCheck(data, findings);
        try {
            return check.run();
        } catch (IOException e) {
            findings.unknown(data.journal() + ": " + e.getMessage() + "; look at the disk");
            return "not everything";
        }
    }

    private String run() throws IOException {
        if (!canReadIndex()) {
            return "nothing";
        }
        try (MetaView view = openIndex()) {
            if (view == null) {
                return "the index only";
            }
            StoredState stored;
            try {
                view.verifyChecksums();
                stored = StoredState.read(view);
            } catch (IOException e) {
                findings.inconsistent(data.index() + ": " + e.getMessage());
                return "the index only";
            }
            return run(view, stored);
        }
    }

    private boolean canReadIndex() throws IOException {
        if (!Files.isDirectory(data.index())) {
            findings.inconsistent(data.index() + ": the journal's index is missing, " + data.journal()
                    + " is there; restore the data directory from a copy");
            return false;
        }
        boolean readable = Files.isReadable(data.index()) && Files.isExecutable(data.index());
        if (!readable) {
            findings.unknown(data.index() + ": cannot be read; ask as its owner");
            return false;
        }
        try (Stream<Path> files = Files.list(data.index())) {
            for (Path file : new TreeSet<>(files.toList())) {
                if (!Files.isReadable(file)) {
                    findings.unknown(file + ": cannot be read; ask as its owner");
                    readable = false;
                }
            }
        }
        return readable;
    }

    /** Null if it cannot be opened at all. */
    private @Nullable MetaView openIndex() {
        try {
            return MetaView.openReadOnly(data.index(), true);
        } catch (FormatException e) {
            findings.unknown(String.valueOf(e.getMessage()));
            return null;
        } catch (IOException e) {
            findings.inconsistent(String.valueOf(e.getMessage()));
        }
        try {
            return MetaView.openReadOnly(data.index(), false);
        } catch (IOException e) {
            return null;
        }
    }

    private String run(MetaView view, StoredState stored) throws IOException {
        ArbiterCheck.run(stored, findings);
        JournalCheck journal = new JournalCheck(stored, findings);
        List<SegmentView> segments = data.open(journal.catalogue(data.journal()));
        JournalScan scan;
        try {
            scan = journal.scan(segments, _ -> {});
            checkIndexIsWhole(view, scan, segments);
        } finally {
            OfflineData.closeAll(segments);
        }
        RecoveryPlan plan = data.plan(view, stored, scan, OfflineData.lastSequence(stored, scan), 0);
        tell(plan);
        ImageCheck images = new ImageCheck(data.files(), findings);
        for (VolumeRegistration volume : stored.volumes().values()) {
            RecoveredVms.Stored holder = stored.holder(volume.name());
            images.run(volume, data.image(volume), plan.volume(volume.name()), holder == null ? null : holder.name());
            String trouble = ChangeMap.trouble(data.changes(), view.changes(volume.lane()), volume);
            if (trouble != null) {
                findings.inconsistent(
                        trouble + "; the next backup of " + volume.name() + " must be a full one, start the server");
            }
        }
        return "%d volumes, %d VMs, %d segments (%.1f MiB in use), %d records not settled"
                .formatted(
                        stored.volumes().size(),
                        stored.vms().stored().size(),
                        scan.segments(),
                        scan.bytes() / 1048576.0,
                        scan.records().size());
    }

    private void checkIndexIsWhole(MetaView view, JournalScan scan, List<SegmentView> segments) {
        try {
            data.requireWholeIndex(view, scan, segments);
        } catch (IOException e) {
            findings.inconsistent(String.valueOf(e.getMessage()));
        }
    }

    private void tell(RecoveryPlan plan) {
        if (plan.powerLost()) {
            findings.note(
                    "the host went down, or a sync failed, since the last server ran: only what was synced counts");
        }
        for (VmPlan vm : plan.vms().values()) {
            if (vm.loses()) {
                findings.note("VM " + vm.state().vm() + ": "
                        + (vm.state().mode() == Mode.PROTECTED
                                ? "the next server goes back to its epoch "
                                        + vm.state().record().getCommittedEpoch() + ", its backup goes on from there"
                                : "it lost what was not synced and is to be restarted"));
            }
        }
        for (VolumePlan volume : plan.volumes()) {
            if (volume.cut() != null && volume.cutRecords().records() > 0) {
                findings.note("volume " + volume.volume().name() + ": the next server drops "
                        + volume.cutRecords().records() + " records after record "
                        + volume.cut().after());
            }
        }
    }
}
