package io.vmft.blk.inspect;

import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.control.OfflineForce;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentView;
import io.vmft.proto.blk.v1.ForceRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.util.List;

/** The arbiter's records of a server that does not run. */
public final class OfflineArbiter {
    private OfflineArbiter() {}

    /** Every VM as a server that starts now would find it, by name. */
    public static List<VmState> list(OfflineData data) throws IOException {
        try (MetaView view = MetaView.openReadOnly(data.index(), true)) {
            StoredState stored = StoredState.read(view);
            RecoveryPlan plan = plan(data, view, stored, 0);
            return stored.vms().stored().stream()
                    .map(vm -> plan.vm(vm.name()).state())
                    .toList();
        }
    }

    /** One of them, or one that was never opened. */
    public static VmState show(OfflineData data, String vm) throws IOException {
        return list(data).stream()
                .filter(state -> state.vm().equals(vm))
                .findFirst()
                .orElseGet(() -> VmState.unknown(vm));
    }

    /**
     * Does what {@link io.vmft.blk.control.Coordinator#force} does, to a server that does not run: the next one finds it done. The caller has the
     * directory to itself.
     */
    public static Outcome force(OfflineData data, ForceRequest call, long nowMillis) throws IOException {
        try (MetaStore meta = MetaStore.open(data.index())) {
            StoredState stored = StoredState.read(meta);
            return OfflineForce.run(meta, stored.vms(), plan(data, meta, stored, nowMillis), call, nowMillis);
        }
    }

    /** From what can be read of the journal: an operator may want to close a VM whose disk is lost. */
    private static RecoveryPlan plan(OfflineData data, MetaView view, StoredState stored, long nowMillis)
            throws IOException {
        List<SegmentView> segments = data.open(stored.segments().stream()
                .filter(entry -> Files.isReadable(entry.path(data.journal())))
                .toList());
        try {
            Findings ignored = new Findings(_ -> {});
            JournalScan scan = new JournalCheck(stored, ignored).scan(segments, _ -> {});
            data.requireWholeIndex(view, scan, segments);
            return data.plan(view, stored, scan, OfflineData.lastSequence(stored, scan), nowMillis);
        } finally {
            OfflineData.closeAll(segments);
        }
    }
}
