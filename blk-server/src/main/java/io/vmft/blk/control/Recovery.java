package io.vmft.blk.control;

import io.vmft.blk.control.RecoveryPlan.VmPlan;
import io.vmft.blk.control.RecoveryPlan.VolumePlan;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.JournalScan.Damage;
import io.vmft.blk.journal.JournalScan.Found;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.Mode;
import java.io.IOException;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Puts volumes and VMs back as they were, from what is stored and what was found in the journal, as a {@link RecoveryPlan} says. Used
 * once, before anything is served.
 */
public final class Recovery {
    private static final Logger LOG = LoggerFactory.getLogger(Recovery.class);

    private final MetaStore meta;
    private final Journal journal;
    private final JournalScan scan;
    private final VolumeTable volumes;
    private final Map<String, Vm> vms;
    private final String bootId;
    private final RecoveryPlan plan;

    private Recovery(
            MetaStore meta,
            Journal.Opened opened,
            VolumeTable volumes,
            RecoveredVms vms,
            String bootId,
            InstantSource clock)
            throws IOException {
        this.meta = meta;
        this.journal = opened.journal();
        this.scan = opened.scan();
        this.volumes = volumes;
        this.vms = vms.byName();
        this.bootId = bootId;
        this.plan = RecoveryPlan.make(
                vms,
                volumes.all().stream()
                        .map(volume -> new StoredVolume(volume.name(), volume.lane(), volume.marks()))
                        .toList(),
                scan,
                powerLost(meta, bootId),
                journal.lastSequence(),
                clock.millis());
    }

    /** Whether what was not synced may be gone. */
    public static boolean powerLost(MetaView meta, String bootId) throws IOException {
        String before = meta.bootId();
        return meta.suspect() || (before != null && !before.equals(bootId));
    }

    /** The VMs stored in {@code meta}, without their seals in flight. */
    public static RecoveredVms load(MetaView meta) throws IOException {
        Map<String, Vm> vms = new TreeMap<>();
        for (Map.Entry<String, byte[]> entry : meta.vms().entrySet()) {
            vms.put(entry.getKey(), Vm.decode(entry.getKey(), entry.getValue(), meta.history(entry.getKey())));
        }
        return new RecoveredVms(vms);
    }

    /** Watermarks of the VMs' lanes, for opening the journal. */
    public static Map<Integer, Long> settledLanes(RecoveredVms vms) {
        Map<Integer, Long> settled = new HashMap<>();
        vms.byName().values().forEach(vm -> settled.put(vm.lane, vm.settled));
        return settled;
    }

    /** Volume names that open VMs need, each with a VM that needs it. */
    public static Map<String, String> neededVolumes(RecoveredVms vms) {
        Map<String, String> needed = new TreeMap<>();
        for (Vm vm : vms.byName().values()) {
            vm.state.record().getVolumesList().forEach(volume -> needed.put(volume, vm.state.vm()));
        }
        return needed;
    }

    /**
     * Recovers.
     *
     * @param bootId of the running kernel
     * @return what was found and what became of it, for {@link #report}
     * @throws IOException if the stored state cannot be read or written; nothing may be served then
     */
    public static RecoveryPlan run(
            MetaStore meta,
            Journal.Opened opened,
            VolumeTable volumes,
            RecoveredVms vms,
            String bootId,
            InstantSource clock)
            throws IOException {
        Recovery recovery = new Recovery(meta, opened, volumes, vms, bootId, clock);
        recovery.run();
        return recovery.plan;
    }

    private void run() throws IOException {
        warn();
        store();
        for (Vm vm : vms.values()) {
            bindVolumes(vm);
            VmPlan next = plan.vm(vm.state.vm());
            vm.state = next.state();
            vm.boundaries.putAll(next.boundaries());
            vm.settled = next.settled();
        }
        restoreOverlays();
        vms.values().forEach(this::putInEffect);
        for (Volume volume : volumes.all()) {
            startDraining(volume);
            journal.settle(volume.lane(), volume.marks().applied());
        }
        vms.values().forEach(vm -> journal.settle(vm.lane, vm.settled));
    }

    private void warn() {
        for (Damage damage : scan.damages()) {
            LOG.error("the journal is damaged: {}", damage.what());
        }
        for (VmPlan vm : plan.vms().values()) {
            if (vm.loses()) {
                LOG.warn(
                        "{}: {}, generation {}, epoch {} stands; what was written after it and not synced is lost",
                        vm.state().vm(),
                        vm.state().mode(),
                        vm.state().record().getGeneration(),
                        vm.state().record().getCommittedEpoch());
            }
        }
        for (VolumePlan volume : plan.volumes()) {
            if (volume.stops() != null) {
                LOG.error("{}: the volume stops: {}", volume.volume().name(), volume.stops());
            }
        }
    }

    private void bindVolumes(Vm vm) {
        List<Volume> held = new ArrayList<>();
        for (String name : vm.state.record().getVolumesList()) {
            Volume volume = volumes.get(name);
            if (volume == null) {
                throw new IllegalStateException("volume " + name + " was to be there");
            }
            held.add(volume);
        }
        held.sort((some, other) -> some.name().compareTo(other.name()));
        vm.volumes = List.copyOf(held);
    }

    /** Makes what was decided durable, and with it the boot id: from here on the same crash is the same again. */
    private void store() throws IOException {
        try (MetaStore.Batch batch = meta.batch()) {
            Map<Volume, LaneMarks> cut = new HashMap<>();
            for (Volume volume : volumes.all()) {
                VolumePlan next = plan.volume(volume.name());
                if (next.cut() != null) {
                    cut.put(
                            volume,
                            volume.putDropped(
                                    batch,
                                    volume.marks(),
                                    next.cut().after(),
                                    next.cut().last()));
                }
                if (next.stops() != null) {
                    volume.fail(next.stops());
                }
            }
            for (Vm vm : vms.values()) {
                VmPlan next = plan.vm(vm.state.vm());
                if (next.loses()) {
                    vm.put(batch, next.state(), next.settled());
                }
            }
            batch.putBootId(bootId).write(true);
            cut.forEach(Volume::setMarks);
        }
    }

    private void restoreOverlays() {
        Map<Integer, Volume> byLane = new HashMap<>();
        volumes.all().forEach(volume -> byLane.put(volume.lane(), volume));
        Map<Integer, Vm> vmsByLane = new HashMap<>();
        vms.values().forEach(vm -> vmsByLane.put(vm.lane, vm));
        Set<Volume> pastCommit = new HashSet<>();
        for (Found found : scan.records()) {
            int lane = found.header().lane();
            long sequence = found.header().sequence();
            Vm vm = vmsByLane.get(lane);
            Volume volume = byLane.get(lane);
            if (vm != null && vm.boundaries.containsValue(sequence)) {
                vm.volumes.forEach(held -> {
                    endCommitted(held, pastCommit);
                    held.overlay().freeze(sequence, found.header().epoch());
                });
            } else if (volume != null && isWanted(volume, sequence)) {
                if (sequence > volume.marks().committed()) {
                    endCommitted(volume, pastCommit);
                }
                volume.restore(found.record());
            }
        }
        volumes.all().forEach(volume -> endCommitted(volume, pastCommit));
    }

    private static boolean isWanted(Volume volume, long sequence) {
        LaneMarks marks = volume.marks();
        return sequence > marks.applied() && !marks.isDropped(sequence) && volume.failure() == null;
    }

    /** What was restored of {@code volume} before is committed, what follows is not. */
    private static void endCommitted(Volume volume, Set<Volume> pastCommit) {
        if (pastCommit.add(volume)) {
            long committed = volume.marks().committed();
            volume.overlay().freeze(committed);
            volume.overlay().commitThrough(committed);
        }
    }

    private void putInEffect(Vm vm) {
        vm.volumes.forEach(Volume::closeGate);
        try {
            for (Volume volume : vm.volumes) {
                volume.admit(vm.admission());
                if (vm.state.journals()) {
                    volume.journal(vm.state.record().getSealedEpoch() + 1, vm.state.mode() == Mode.SYNCING);
                    if (vm.state.mode() == Mode.PROTECTED) {
                        volume.overlay().resumeEpoch(vm.state.record().getCommittedEpoch());
                    }
                }
            }
        } finally {
            vm.volumes.forEach(Volume::openGate);
        }
    }

    private void startDraining(Volume volume) {
        @Nullable String holder = volume.admission().heldBy();
        Vm vm = holder == null ? null : vms.get(holder);
        if (vm != null && vm.state.journals()) {
            return;
        }
        volume.closeGate();
        try {
            volume.drain();
        } finally {
            volume.openGate();
        }
    }

    /** What recovery found and did, in one line. */
    public static String report(RecoveryPlan plan, Duration took) {
        return "recovered in %.2f s: %.3f GiB of journal in %d segments, %d records that were not settled, newest %d, %s; %s; %s"
                .formatted(
                        took.toNanos() / 1e9,
                        plan.scan().bytes() / (double) (1L << 30),
                        plan.scan().segments(),
                        plan.scan().records().size(),
                        plan.lastSequence(),
                        plan.scan().damages().isEmpty()
                                ? "none damaged"
                                : "DAMAGED at " + plan.scan().damages().size() + " places",
                        plan.powerLost()
                                ? "the host went down or could not sync: only what was synced counts"
                                : "the host stayed up: nothing acknowledged was lost",
                        String.join("; ", plan.inWords()));
    }
}
