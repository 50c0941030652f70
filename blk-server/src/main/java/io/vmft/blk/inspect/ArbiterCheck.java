package io.vmft.blk.inspect;

import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.VolumeRegistration;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import java.util.HashMap;
import java.util.Map;

/** Whether the arbiter's records make sense, by themselves, beside each other, and beside the volumes' watermarks. */
final class ArbiterCheck {
    private static final String WAY_OUT = "; nothing may run that VM: restore the data directory from a copy";

    private final StoredState stored;
    private final Findings findings;

    private ArbiterCheck(StoredState stored, Findings findings) {
        this.stored = stored;
        this.findings = findings;
    }

    static void run(StoredState stored, Findings findings) {
        new ArbiterCheck(stored, findings).run();
    }

    private void run() {
        Map<Integer, String> lanes = new HashMap<>();
        stored.volumes().values().forEach(volume -> claim(lanes, volume.lane(), "volume " + volume.name()));
        Map<String, String> holders = new HashMap<>();
        for (RecoveredVms.Stored vm : stored.vms().stored()) {
            claim(lanes, vm.lane(), "VM " + vm.name());
            checkRecord(vm);
            for (String volume : vm.state().record().getVolumesList()) {
                String other = holders.putIfAbsent(volume, vm.name());
                if (other != null) {
                    wrong(vm.name(), "it holds volume " + volume + ", which VM " + other + " holds too");
                }
                checkVolume(vm, volume);
            }
        }
        for (int lane : stored.markedLanes()) {
            if (!lanes.containsKey(lane)) {
                findings.inconsistent("index: there are watermarks for lane " + lane
                        + ", which is no volume's; restore the data directory from a copy");
            }
        }
    }

    private void claim(Map<Integer, String> lanes, int lane, String owner) {
        String other = lanes.putIfAbsent(lane, owner);
        if (other != null) {
            findings.inconsistent("index: " + owner + " and " + other + " have the same number " + lane
                    + " in the journal; restore the data directory from a copy");
        } else if (lane <= 0 || lane > stored.lastLane()) {
            findings.inconsistent(
                    "index: " + owner + " has the number " + lane + " in the journal, the newest one given" + " out is "
                            + stored.lastLane() + "; restore the data directory from a copy");
        }
    }

    private void checkRecord(RecoveredVms.Stored vm) {
        VmState state = vm.state();
        ArbiterRecord record = state.record();
        String name = vm.name();
        if (!record.getVm().equals(name)) {
            wrong(name, "its record is VM " + record.getVm() + "'s");
        }
        if (record.getGeneration() <= 0 || newest(record) > state.lastGiven()) {
            wrong(
                    name,
                    "generations " + record.getGeneration() + ", " + record.getPrimaryGeneration() + ", "
                            + record.getStandbyGeneration() + " are not among those given out, 1 to "
                            + state.lastGiven());
        }
        if (record.getCommittedEpoch() > record.getSealedEpoch()) {
            wrong(
                    name,
                    "epoch " + record.getCommittedEpoch() + " is committed, but only " + record.getSealedEpoch()
                            + " was sealed");
        }
        boolean primary =
                record.getPrimaryGeneration() > 0 && !record.getPrimary().isEmpty();
        boolean backup =
                record.getStandbyGeneration() > 0 && !record.getBackup().isEmpty();
        boolean fits = switch (record.getMode()) {
            case CLOSED ->
                record.getPrimaryGeneration() == 0
                        && record.getStandbyGeneration() == 0
                        && record.getVolumesCount() == 0;
            case SOLO -> primary && record.getStandbyGeneration() == 0;
            case SYNCING, PROTECTED ->
                primary && backup && record.getStandbyGeneration() != record.getPrimaryGeneration();
            case MODE_UNSPECIFIED, UNRECOGNIZED -> false;
        };
        if (!fits) {
            wrong(
                    name,
                    "mode " + record.getMode() + " does not go with primary '" + record.getPrimary() + "' ("
                            + record.getPrimaryGeneration() + "), backup '" + record.getBackup() + "' ("
                            + record.getStandbyGeneration() + ") and " + record.getVolumesCount() + " volumes");
        }
    }

    private static long newest(ArbiterRecord record) {
        return Math.max(record.getGeneration(), Math.max(record.getPrimaryGeneration(), record.getStandbyGeneration()));
    }

    private void checkVolume(RecoveredVms.Stored vm, String name) {
        VolumeRegistration volume = stored.volumes().get(name);
        if (volume == null) {
            wrong(vm.name(), "it holds volume " + name + ", which the index does not know");
            return;
        }
        LaneMarks marks = stored.stored(volume).marks();
        if (vm.state().mode() == Mode.PROTECTED && !vm.state().dataLost() && marks.committed() != vm.settled()) {
            wrong(
                    vm.name(),
                    "its epoch " + vm.state().record().getCommittedEpoch() + " ends at record " + vm.settled()
                            + ", but volume " + name + " is committed through " + marks.committed());
        }
    }

    private void wrong(String vm, String what) {
        findings.inconsistent("arbiter: VM " + vm + ": " + what + WAY_OUT);
    }
}
