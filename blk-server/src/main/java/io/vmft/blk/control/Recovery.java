package io.vmft.blk.control;

import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.JournalScan.Damage;
import io.vmft.blk.journal.JournalScan.Found;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.Mode;
import java.io.IOException;
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
 * Puts volumes and VMs back as they were, from what is stored and what was found in the journal. Used once, before anything is
 * served.
 *
 * <p>If only the process died, everything appended counts, and open epochs go on. After a power loss (another boot id, or a sync
 * that failed) only what was committed is certain: a protected VM loses what came after its last commit and is told so; any
 * other keeps what is there up to the first gap, as a disk with a volatile cache does, and is told too. Damage in committed data
 * stops the volume concerned.
 */
public final class Recovery {
    private static final Logger LOG = LoggerFactory.getLogger(Recovery.class);

    private final MetaStore meta;
    private final Journal journal;
    private final JournalScan scan;
    private final VolumeTable volumes;
    private final Map<String, Vm> vms;
    private final String bootId;
    private final boolean powerLost;
    /** What must not come back, found to be so now. */
    private final Map<Volume, Long> cutAfter = new HashMap<>();

    private Recovery(MetaStore meta, Journal.Opened opened, VolumeTable volumes, Map<String, Vm> vms, String bootId)
            throws IOException {
        this.meta = meta;
        this.journal = opened.journal();
        this.scan = opened.scan();
        this.volumes = volumes;
        this.vms = vms;
        this.bootId = bootId;
        String before = meta.bootId();
        this.powerLost = meta.suspect() || (before != null && !before.equals(bootId));
    }

    /** The VMs stored in {@code meta}, without their seals in flight. */
    public static RecoveredVms load(MetaStore meta) throws IOException {
        Map<String, Vm> vms = new TreeMap<>();
        for (Map.Entry<String, byte[]> entry : meta.vms().entrySet()) {
            vms.put(entry.getKey(), Vm.decode(entry.getKey(), entry.getValue()));
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
     * @throws IOException if the stored state cannot be read or written; nothing may be served then
     */
    public static void run(MetaStore meta, Journal.Opened opened, VolumeTable volumes, RecoveredVms vms, String bootId)
            throws IOException {
        new Recovery(meta, opened, volumes, vms.byName(), bootId).run();
    }

    private void run() throws IOException {
        for (Vm vm : vms.values()) {
            bindVolumes(vm);
            findSeals(vm);
        }
        for (Vm vm : vms.values()) {
            if (vm.state.mode() != Mode.CLOSED && (powerLost || lostOpenData(vm))) {
                vm.state = vm.state.withDataLost();
                if (vm.state.mode() == Mode.PROTECTED) {
                    backToCommit(vm);
                }
                LOG.warn(
                        "{}: {}, generation {}, epoch {} stands; what was written after it and not synced is lost",
                        vm.state.vm(),
                        vm.state.mode(),
                        vm.state.record().getGeneration(),
                        vm.state.record().getCommittedEpoch());
            }
        }
        for (Volume volume : volumes.all()) {
            judgeDamage(volume);
        }
        store();
        restoreOverlays();
        vms.values().forEach(this::putInEffect);
        for (Volume volume : volumes.all()) {
            startDraining(volume);
            journal.settle(volume.lane(), volume.marks().applied());
        }
        vms.values().forEach(vm -> journal.settle(vm.lane, vm.settled));
        report();
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

    private void findSeals(Vm vm) {
        long sealed = vm.state.record().getSealedEpoch();
        for (Found found : scan.records()) {
            if (found.header().kind() == RecordKind.SEAL
                    && found.header().lane() == vm.lane
                    && found.header().sequence() > vm.settled) {
                vm.boundaries.put(found.header().epoch(), found.header().sequence());
                sealed = Math.max(sealed, found.header().epoch());
            }
        }
        vm.state = vm.state.withInFlight(List.copyOf(vm.boundaries.keySet()), sealed);
    }

    /** Whether something of its open epochs is damaged although the host did not go down. */
    private boolean lostOpenData(Vm vm) {
        if (!vm.state.journals()) {
            return false;
        }
        for (Damage damage : scan.damages()) {
            boolean seal = damage.concerns(vm.lane) && damage.firstSequence() > vm.settled;
            boolean data = vm.volumes.stream()
                    .anyMatch(volume -> isLive(damage, volume)
                            && damage.firstSequence() > volume.marks().committed());
            if (seal || data) {
                LOG.error("{}: the journal is damaged: {}", vm.state.vm(), damage.what());
                return true;
            }
        }
        return false;
    }

    private void backToCommit(Vm vm) {
        vm.boundaries.clear();
        vm.state = vm.state.withInFlight(List.of(), vm.state.record().getSealedEpoch());
        vm.settled = journal.lastSequence();
        vm.volumes.forEach(volume -> cutAfter.put(volume, volume.marks().committed()));
    }

    private void judgeDamage(Volume volume) {
        for (Damage damage : scan.damages()) {
            if (!isLive(damage, volume)) {
                continue;
            }
            if (damage.firstSequence() <= volume.marks().committed()) {
                LOG.error("{}: committed data is damaged, the volume stops: {}", volume.name(), damage.what());
                volume.fail("committed data in the journal is damaged: " + damage.what());
            } else if (cutAfter.merge(volume, damage.firstSequence() - 1, Math::min) == damage.firstSequence() - 1) {
                LOG.warn("{}: what was written from there on is dropped: {}", volume.name(), damage.what());
            }
        }
    }

    private static boolean isLive(Damage damage, Volume volume) {
        LaneMarks marks = volume.marks();
        return damage.concerns(volume.lane())
                && damage.firstSequence() > marks.applied()
                && !marks.isDropped(damage.firstSequence());
    }

    /** Makes what was decided durable, and with it the boot id: from here on the same crash is the same again. */
    private void store() throws IOException {
        long last = journal.lastSequence();
        try (MetaStore.Batch batch = meta.batch()) {
            Map<Volume, LaneMarks> cut = new HashMap<>();
            for (Map.Entry<Volume, Long> entry : cutAfter.entrySet()) {
                Volume volume = entry.getKey();
                LaneMarks base = volume.marks();
                cut.put(volume, volume.putDropped(batch, base, Math.max(base.committed(), entry.getValue()), last));
            }
            for (Map.Entry<String, Vm> entry : vms.entrySet()) {
                Vm vm = entry.getValue();
                if (vm.state.dataLost()) {
                    batch.putVm(entry.getKey(), vm.encode(vm.state, vm.settled));
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

    private void report() {
        LOG.info(
                "journal: {} segments with {} records up to {}, {} bytes to be applied or committed, {} damaged; {};"
                        + " {} volumes, {} VMs",
                scan.segments(),
                scan.records().size(),
                journal.lastSequence(),
                journal.budget().usedBytes(),
                scan.damages().size(),
                powerLost ? "the host went down, only what was synced counts" : "nothing acknowledged was lost",
                volumes.all().size(),
                vms.size());
    }
}
