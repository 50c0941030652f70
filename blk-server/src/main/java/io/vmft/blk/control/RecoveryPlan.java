package io.vmft.blk.control;

import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.JournalScan.Damage;
import io.vmft.blk.journal.JournalScan.Found;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.SequenceRange;
import io.vmft.proto.blk.v1.Mode;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * What becomes of volumes and VMs, decided from what is stored and what was found in the journal. Making one changes nothing: recovery
 * carries it out, inspection only tells it.
 *
 * <p>If only the process died, everything appended counts, and open epochs go on. After a power loss (another boot id, or a sync
 * that failed) only what was committed is certain: a protected VM loses what came after its last commit and is told so; any
 * other keeps what is there up to the first gap, as a disk with a volatile cache does, and is told too. Damage in committed data
 * stops the volume concerned.
 */
public final class RecoveryPlan {
    private final JournalScan scan;
    private final boolean powerLost;
    private final long lastSequence;
    private final Map<String, VmPlan> vms = new TreeMap<>();
    private final Map<String, VolumePlan> volumes = new TreeMap<>();
    /** What was found of each lane, in order: the journal is gone through once, not once for each VM and volume. */
    private final Map<Integer, List<Found>> byLane = new HashMap<>();

    /**
     * A VM as it goes on.
     *
     * @param state afterwards, with the epochs in flight
     * @param boundaries where each of those ends
     * @param settled where its committed epoch ends
     * @param loses whether it loses something now
     */
    public record VmPlan(VmState state, NavigableMap<Long, Long> boundaries, long settled, boolean loses) {}

    /**
     * A volume as it goes on.
     *
     * @param stops why it is not served; null: it is
     * @param cut records that count as never written from now on; null: none
     * @param kept records that are neither in the image nor undone
     * @param cutRecords of those found, undone by {@code cut}
     */
    public record VolumePlan(
            StoredVolume volume,
            @Nullable String stops,
            @Nullable SequenceRange cut,
            Tally kept,
            Tally cutRecords) {}

    /** Records, and the bytes of the volume they are about. */
    public record Tally(long records, long bytes) {
        static final Tally NONE = new Tally(0, 0);

        Tally with(Found found) {
            return new Tally(records + 1, bytes + found.header().lengthBytes());
        }
    }

    private RecoveryPlan(JournalScan scan, boolean powerLost, long lastSequence) {
        this.scan = scan;
        this.powerLost = powerLost;
        this.lastSequence = lastSequence;
        for (Found found : scan.records()) {
            byLane.computeIfAbsent(found.header().lane(), _ -> new ArrayList<>())
                    .add(found);
        }
    }

    private List<Found> found(int lane) {
        return byLane.getOrDefault(lane, List.of());
    }

    /**
     * Makes a plan.
     *
     * @param scan of the journal, without what is settled
     * @param volumes those that are served
     * @param powerLost what was not synced may be gone
     * @param lastSequence the newest number given out
     */
    public static RecoveryPlan make(
            RecoveredVms vms,
            Collection<StoredVolume> volumes,
            JournalScan scan,
            boolean powerLost,
            long lastSequence,
            long nowMillis) {
        RecoveryPlan plan = new RecoveryPlan(scan, powerLost, lastSequence);
        Map<String, StoredVolume> byName = new HashMap<>();
        volumes.forEach(volume -> byName.put(volume.name(), volume));
        Map<String, Long> cutAfter = new HashMap<>();
        for (Vm vm : vms.byName().values()) {
            List<StoredVolume> held = vm.state.record().getVolumesList().stream()
                    .map(byName::get)
                    .filter(Objects::nonNull)
                    .toList();
            VmPlan next = plan.judge(vm, held, nowMillis);
            plan.vms.put(vm.state.vm(), next);
            if (next.loses() && next.state().mode() == Mode.PROTECTED) {
                held.forEach(
                        volume -> cutAfter.put(volume.name(), volume.marks().committed()));
            }
        }
        for (StoredVolume volume : volumes) {
            plan.volumes.put(volume.name(), plan.judge(volume, cutAfter.get(volume.name())));
        }
        return plan;
    }

    private VmPlan judge(Vm vm, List<StoredVolume> held, long nowMillis) {
        NavigableMap<Long, Long> boundaries = new TreeMap<>();
        long sealed = vm.state.record().getSealedEpoch();
        for (Found found : found(vm.lane)) {
            if (found.header().kind() == RecordKind.SEAL && found.header().sequence() > vm.settled) {
                boundaries.put(found.header().epoch(), found.header().sequence());
                sealed = Math.max(sealed, found.header().epoch());
            }
        }
        VmState state = vm.state.withInFlight(List.copyOf(boundaries.keySet()), sealed);
        if (state.mode() == Mode.CLOSED || !(powerLost || lostOpenData(vm, state, held))) {
            return new VmPlan(state, boundaries, vm.settled, false);
        }
        state = state.withDataLost(nowMillis);
        if (state.mode() != Mode.PROTECTED) {
            return new VmPlan(state, boundaries, vm.settled, true);
        }
        return new VmPlan(state.withInFlight(List.of(), sealed), new TreeMap<>(), lastSequence, true);
    }

    /** Whether something of its open epochs is damaged although the host did not go down. */
    private boolean lostOpenData(Vm vm, VmState state, List<StoredVolume> held) {
        if (!state.journals()) {
            return false;
        }
        for (Damage damage : scan.damages()) {
            boolean seal = damage.concerns(vm.lane) && damage.firstSequence() > vm.settled;
            boolean data = held.stream()
                    .anyMatch(volume -> isLive(damage, volume)
                            && damage.firstSequence() > volume.marks().committed());
            if (seal || data) {
                return true;
            }
        }
        return false;
    }

    private VolumePlan judge(StoredVolume volume, @Nullable Long cutAfterCommit) {
        long after = cutAfterCommit == null ? Long.MAX_VALUE : cutAfterCommit;
        @Nullable String stops = null;
        for (Damage damage : scan.damages()) {
            if (!isLive(damage, volume)) {
                continue;
            }
            if (damage.firstSequence() <= volume.marks().committed()) {
                stops = "committed data in the journal is damaged: " + damage.what();
            } else {
                after = Math.min(after, damage.firstSequence() - 1);
            }
        }
        after = Math.max(after, volume.marks().committed());
        SequenceRange cut = after < lastSequence ? new SequenceRange(after, lastSequence) : null;
        Tally kept = Tally.NONE;
        Tally cutRecords = Tally.NONE;
        for (Found found : found(volume.lane())) {
            long sequence = found.header().sequence();
            if (!volume.needs(sequence)) {
                continue;
            }
            if (cut != null && cut.contains(sequence)) {
                cutRecords = cutRecords.with(found);
            } else {
                kept = kept.with(found);
            }
        }
        return new VolumePlan(volume, stops, cut, kept, cutRecords);
    }

    /** Whether damage is in something that the volume still needs. */
    public static boolean isLive(Damage damage, StoredVolume volume) {
        return damage.concerns(volume.lane()) && volume.needs(damage.firstSequence());
    }

    /** Whether what was not synced may be gone. */
    public boolean powerLost() {
        return powerLost;
    }

    public JournalScan scan() {
        return scan;
    }

    /** The newest number given out. */
    public long lastSequence() {
        return lastSequence;
    }

    public Map<String, VmPlan> vms() {
        return Map.copyOf(vms);
    }

    public VmPlan vm(String name) {
        return Objects.requireNonNull(vms.get(name), name);
    }

    public VolumePlan volume(String name) {
        return Objects.requireNonNull(volumes.get(name), name);
    }

    public Collection<VolumePlan> volumes() {
        return List.copyOf(volumes.values());
    }

    /** How each volume stands, for people: {@code web: epoch 17 committed, 18, 19 sealed (VM vm1, PROTECTED, generation 6)}. */
    List<String> inWords() {
        List<String> lines = new ArrayList<>();
        for (VolumePlan plan : volumes.values()) {
            lines.add(plan.volume().name() + ": " + inWords(plan));
        }
        return lines;
    }

    private String inWords(VolumePlan plan) {
        StringBuilder words = new StringBuilder();
        VmPlan holder = vms.values().stream()
                .filter(vm -> vm.state()
                        .record()
                        .getVolumesList()
                        .contains(plan.volume().name()))
                .findFirst()
                .orElse(null);
        if (holder == null) {
            words.append("no VM");
        } else {
            VmState state = holder.state();
            words.append(state.vm()).append(' ').append(state.mode());
            words.append(" generation ").append(state.record().getGeneration());
            words.append(", epoch ").append(state.record().getCommittedEpoch()).append(" committed");
            if (!state.inFlight().isEmpty()) {
                words.append(", ").append(state.inFlight()).append(" sealed");
            }
            if (state.dataLost()) {
                words.append(", DATA LOST");
            }
        }
        words.append(", ").append(inWords(plan.kept())).append(" not in the image");
        if (plan.cut() != null) {
            words.append(", ").append(inWords(plan.cutRecords())).append(" dropped");
        }
        if (plan.stops() != null) {
            words.append(", STOPPED");
        }
        return words.toString();
    }

    private static String inWords(Tally tally) {
        return tally.records() == 0
                ? "0 records"
                : "%d records (%.1f MiB)".formatted(tally.records(), tally.bytes() / 1048576.0);
    }
}
