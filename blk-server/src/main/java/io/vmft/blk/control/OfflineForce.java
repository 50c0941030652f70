package io.vmft.blk.control;

import io.vmft.blk.arbiter.ArbiterRules;
import io.vmft.blk.arbiter.Decision.Accepted;
import io.vmft.blk.arbiter.Decision.Refused;
import io.vmft.blk.arbiter.Decision.Repeated;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.control.RecoveryPlan.VmPlan;
import io.vmft.blk.control.RecoveryPlan.VolumePlan;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.SequenceRange;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.Refusal;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** {@link Coordinator#force} for a server that does not run. */
public final class OfflineForce {
    private OfflineForce() {}

    /**
     * Decides and makes it durable. Of the VM's volumes, what the plan drops is dropped; everything else in the journal is kept, because
     * the next server keeps what no VM's epochs stand against.
     *
     * @param plan what a server that starts now would make of it
     */
    public static Outcome run(MetaStore meta, RecoveredVms vms, RecoveryPlan plan, ForceRequest call, long nowMillis)
            throws IOException {
        Vm vm = vms.byName().get(call.getVm());
        if (vm == null) {
            return new Outcome(
                    VmState.unknown(call.getVm()).record(),
                    Refusal.newBuilder()
                            .setCode(Refusal.Code.WRONG_MODE)
                            .setMessage(call.getVm() + " was never opened; there is nothing to force")
                            .build());
        }
        VmPlan before = plan.vm(call.getVm());
        return switch (ArbiterRules.force(before.state(), call, nowMillis)) {
            case Refused refused -> new Outcome(before.state().record(), refused.refusal());
            case Repeated _ -> new Outcome(before.state().record(), null);
            case Accepted(VmState next) -> {
                try (MetaStore.Batch batch = meta.batch()) {
                    for (VolumePlan volume : plan.volumes()) {
                        if (before.loses()
                                && before.state()
                                        .record()
                                        .getVolumesList()
                                        .contains(volume.volume().name())) {
                            putCut(batch, volume);
                        }
                    }
                    vm.put(batch, next, plan.lastSequence());
                    batch.write(true);
                }
                yield new Outcome(next.record(), null);
            }
        };
    }

    private static void putCut(MetaStore.Batch batch, VolumePlan volume) throws IOException {
        List<SequenceRange> dropped = new ArrayList<>(volume.volume().marks().dropped());
        if (volume.cut() != null && !dropped.contains(volume.cut())) {
            dropped.add(volume.cut());
            batch.putDropped(volume.volume().lane(), dropped);
        }
    }
}
