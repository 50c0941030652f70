package io.vmft.blk.control;

import io.vmft.blk.applier.Applier;
import io.vmft.blk.arbiter.ArbiterRules;
import io.vmft.blk.arbiter.Decision;
import io.vmft.blk.arbiter.Decision.Accepted;
import io.vmft.blk.arbiter.Decision.Refused;
import io.vmft.blk.arbiter.Decision.Repeated;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.volume.Admission;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.Refusal.Code;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.IOException;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out what engines ask. Thread-safe; calls block until what they promise is durable.
 *
 * <p>A change of who may run a VM goes: rules, volumes' gates closed, journal synced, one durable batch (record, commit points,
 * dropped ranges), then memory follows, gates open, and connections of fenced generations are cut. If the batch fails nothing has
 * changed. A commit syncs without holding the VM's lock, so that the next seal, for which the VM's disks wait, never waits for
 * a disk itself.
 *
 * <p>Locks, in this order: {@code holders} (which VM holds which volume), a VM's, volumes' gates by name, volumes' marks by name.
 */
public final class Coordinator {
    private static final Logger LOG = LoggerFactory.getLogger(Coordinator.class);
    private static final int MAX_VMS = 4096;
    private static final Comparator<Volume> BY_NAME = Comparator.comparing(Volume::name);

    private final VolumeTable volumes;
    private final Journal journal;
    private final MetaStore meta;
    private final Applier applier;
    private final InstantSource clock;
    private final ReentrantLock holders = new ReentrantLock();
    private final Map<String, Vm> vms = new ConcurrentHashMap<>();

    public Coordinator(
            VolumeTable volumes,
            Journal journal,
            MetaStore meta,
            Applier applier,
            InstantSource clock,
            RecoveredVms recovered) {
        this.volumes = volumes;
        this.journal = journal;
        this.meta = meta;
        this.applier = applier;
        this.clock = clock;
        this.vms.putAll(recovered.byName());
    }

    /** Every VM as it stands. */
    public List<VmState> all() {
        List<VmState> all = new ArrayList<>();
        for (String name : new TreeSet<>(vms.keySet())) {
            VmState state = look(name);
            if (state != null) {
                all.add(state);
            }
        }
        return all;
    }

    /** A VM as it stands; null: it was never opened. */
    public @Nullable VmState look(String name) {
        Vm found = vms.get(name);
        if (found == null) {
            return null;
        }
        found.lock.lock();
        try {
            return found.state;
        } finally {
            found.lock.unlock();
        }
    }

    /** The answer to a call: the record afterwards, and why it was refused, if it was. */
    public record Outcome(ArbiterRecord record, @Nullable Refusal refusal) {
        public boolean accepted() {
            return refusal == null;
        }

        /** As it is sent. */
        public ArbiterReply reply() {
            ArbiterReply.Builder reply = ArbiterReply.newBuilder().setRecord(record);
            if (refusal != null) {
                reply.setRefusal(refusal);
            }
            return reply.build();
        }
    }

    public ArbiterRecord get(String vm) {
        VmState found = look(vm);
        return (found == null ? VmState.unknown(vm) : found).record();
    }

    public Outcome open(OpenRequest call) {
        holders.lock();
        try {
            Vm vm = vms.get(call.getVm());
            if (vm == null && vms.size() >= MAX_VMS) {
                return new Outcome(
                        VmState.unknown(call.getVm()).record(),
                        refusal(Code.BAD_REQUEST, call.getVm() + ": this server knows " + MAX_VMS + " VMs already"));
            }
            if (vm == null) {
                vm = new Vm(meta.newLane(), VmState.unknown(call.getVm()));
            }
            Vm opened = vm;
            Outcome outcome = change(vm, () -> ArbiterRules.open(opened.state, call, clock.millis()), next -> {
                List<Volume> wanted = new ArrayList<>();
                Refusal refusal = findVolumes(call, wanted);
                if (refusal == null) {
                    keepAll(opened, next, wanted);
                }
                return refusal;
            });
            if (outcome.accepted()) {
                vms.put(call.getVm(), vm);
            }
            return outcome;
        } catch (IOException e) {
            return new Outcome(get(call.getVm()), storageFailed(call.getVm(), e));
        } finally {
            holders.unlock();
        }
    }

    private @Nullable Refusal findVolumes(OpenRequest call, List<Volume> wanted) {
        for (String name : call.getVolumesList()) {
            Volume volume = volumes.get(name);
            String trouble = volume == null
                    ? "there is no volume " + name + "; this server has "
                            + volumes.all().stream().map(Volume::name).toList()
                    : trouble(volume, call.getVm());
            if (volume == null || trouble != null) {
                return refusal(Code.BAD_VOLUME, call.getVm() + ": " + trouble);
            }
            wanted.add(volume);
        }
        wanted.sort(BY_NAME);
        return null;
    }

    private static @Nullable String trouble(Volume volume, String vm) {
        String holder = volume.admission().heldBy();
        if (volume.image().readOnly()) {
            return "volume " + volume.name() + " is read-only";
        } else if (holder != null && !holder.equals(vm)) {
            return "volume " + volume.name() + " is held by VM " + holder + "; close that first";
        } else if (volume.failure() != null) {
            return "volume " + volume.name() + ": " + volume.failure();
        }
        return null;
    }

    public Outcome beginProtect(BeginProtectRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        return change(vm, () -> ArbiterRules.beginProtect(vm.state, call, clock.millis()), next -> {
            persist(vm, next, vm.settled);
            vm.state = next;
            closeGates(vm.volumes);
            vm.volumes.forEach(volume -> volume.admit(vm.admission()));
            openGates(vm.volumes);
            return null;
        });
    }

    public Outcome goSolo(GoSoloRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        return change(vm, () -> ArbiterRules.goSolo(vm.state, call, clock.millis()), next -> {
            keepAll(vm, next, vm.volumes);
            return null;
        });
    }

    public Outcome close(CloseRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        holders.lock();
        try {
            return change(vm, () -> ArbiterRules.close(vm.state, call, clock.millis()), next -> {
                keepAll(vm, next, List.of());
                return null;
            });
        } finally {
            holders.unlock();
        }
    }

    /** What an operator decides. Connections of every generation there was are cut. */
    public Outcome force(ForceRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        holders.lock();
        try {
            return change(vm, () -> ArbiterRules.force(vm.state, call, clock.millis()), next -> {
                keepAll(vm, next, next.mode() == Mode.CLOSED ? List.of() : vm.volumes);
                return null;
            });
        } finally {
            holders.unlock();
        }
    }

    /** The epoch chosen is the record's committed epoch, also when the call is repeated. */
    public Outcome takeOver(TakeOverRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        return change(vm, () -> ArbiterRules.takeOver(vm.state, call, clock.millis()), next -> {
            dropAfter(vm, next);
            return null;
        });
    }

    public Outcome seal(SealRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        vm.lock.lock();
        try {
            return switch (ArbiterRules.seal(vm.state, call)) {
                case Refused refused -> new Outcome(vm.state.record(), refused.refusal());
                case Repeated _ -> new Outcome(vm.state.record(), null);
                case Accepted accepted -> {
                    seal(vm, accepted.next(), call.getEpoch());
                    yield new Outcome(vm.state.record(), null);
                }
            };
        } catch (IOException e) {
            return new Outcome(vm.state.record(), storageFailed(call.getVm(), e));
        } finally {
            vm.lock.unlock();
        }
    }

    private void seal(Vm vm, VmState next, long epoch) throws IOException {
        closeGates(vm.volumes);
        try {
            long boundary = journal.append(vm.lane, epoch, RecordKind.SEAL, meta.durableVersion(), 0, null, 0)
                    .sequence();
            for (Volume volume : vm.volumes) {
                volume.seal(boundary, epoch);
                volume.journal(epoch + 1, next.mode() == Mode.SYNCING);
            }
            vm.boundaries.put(epoch, boundary);
            vm.state = next;
        } finally {
            openGates(vm.volumes);
        }
    }

    public Outcome commit(CommitRequest call) {
        Vm vm = vms.get(call.getVm());
        if (vm == null) {
            return unknown(call.getVm());
        }
        long nowMillis = clock.millis();
        long boundary;
        vm.lock.lock();
        try {
            vm.awaitIdle();
            Decision decision = ArbiterRules.commit(vm.state, call, nowMillis);
            if (decision instanceof Refused refused) {
                return new Outcome(vm.state.record(), refused.refusal());
            } else if (decision instanceof Repeated) {
                return new Outcome(vm.state.record(), null);
            }
            boundary = vm.boundaries.getOrDefault(call.getEpoch(), 0L);
            vm.committing = true;
        } finally {
            vm.lock.unlock();
        }
        try {
            makeDurable(vm, call, boundary, nowMillis);
            return committed(vm, call, boundary, nowMillis);
        } catch (IOException e) {
            notCommitted(vm, call, e);
            return new Outcome(get(call.getVm()), storageFailed(call.getVm(), e));
        } finally {
            endCommitting(vm);
        }
    }

    /** Engines try again several times a second: said once. */
    private static void notCommitted(Vm vm, CommitRequest call, IOException failure) {
        vm.lock.lock();
        try {
            if (!failure.toString().equals(vm.commitTrouble)) {
                vm.commitTrouble = failure.toString();
                LOG.error("{}: epoch {} could not be committed: {}", call.getVm(), call.getEpoch(), vm.commitTrouble);
            }
        } finally {
            vm.lock.unlock();
        }
    }

    private static void endCommitting(Vm vm) {
        vm.lock.lock();
        try {
            vm.committing = false;
            vm.idle.signalAll();
        } finally {
            vm.lock.unlock();
        }
    }

    private void makeDurable(Vm vm, CommitRequest call, long boundary, long nowMillis) throws IOException {
        // While committing is set, nobody changes the volumes a VM holds, nor its record but for seals.
        try (MetaStore.Batch batch = meta.batch()) {
            boolean first;
            vm.lock.lock();
            try {
                first = vm.state.mode() == Mode.SYNCING;
                vm.put(batch, accepted(vm, call, nowMillis), boundary);
            } finally {
                vm.lock.unlock();
            }
            if (first) {
                // What was written before the first seal went to the images, and belongs to this epoch.
                for (Volume volume : vm.volumes) {
                    volume.image().sync();
                }
            }
            journal.sync(boundary);
            vm.volumes.forEach(Volume::lockMarks);
            try {
                Map<Volume, LaneMarks> marks = new HashMap<>();
                for (Volume volume : vm.volumes) {
                    marks.put(volume, volume.putCommitted(batch, boundary));
                }
                batch.write(true);
                marks.forEach(Volume::setMarks);
            } finally {
                vm.volumes.forEach(Volume::unlockMarks);
            }
        }
    }

    private Outcome committed(Vm vm, CommitRequest call, long boundary, long nowMillis) {
        Outcome outcome;
        boolean first;
        List<Volume> held;
        vm.lock.lock();
        try {
            first = vm.state.mode() == Mode.SYNCING;
            vm.state = accepted(vm, call, nowMillis);
            vm.boundaries.headMap(call.getEpoch(), true).clear();
            vm.settled = boundary;
            vm.volumes.forEach(Volume::commitsStandBehindFlushes);
            held = vm.volumes;
            if (vm.commitTrouble != null) {
                vm.commitTrouble = null;
                LOG.info("{}: epoch {} is committed, as all after it", call.getVm(), call.getEpoch());
            }
            outcome = new Outcome(vm.state.record(), null);
        } finally {
            vm.lock.unlock();
        }
        if (first) {
            log(outcome.record());
        }
        journal.settle(vm.lane, boundary);
        held.forEach(applier::committed);
        return outcome;
    }

    private static VmState accepted(Vm vm, CommitRequest call, long nowMillis) {
        if (ArbiterRules.commit(vm.state, call, nowMillis) instanceof Accepted(VmState next)) {
            return next;
        }
        throw new IllegalStateException(call.getVm() + ": its record changed during a commit");
    }

    // ---- changes of who may run a VM
    // ----------------------------------------------------------------------------------

    private interface Decide {
        Decision decide();
    }

    private interface Effect {
        /** Makes {@code next} durable and puts it into effect. VM locked and idle. */
        @Nullable
        Refusal apply(VmState next) throws IOException;
    }

    private Outcome change(Vm vm, Decide decide, Effect effect) {
        vm.lock.lock();
        try {
            vm.awaitIdle();
            return switch (decide.decide()) {
                case Refused refused -> new Outcome(vm.state.record(), refused.refusal());
                case Repeated _ -> new Outcome(vm.state.record(), null);
                case Accepted(VmState next) -> {
                    Refusal refusal = effect.apply(next);
                    if (refusal == null) {
                        log(vm.state.record());
                    }
                    yield new Outcome(vm.state.record(), refusal);
                }
            };
        } catch (IOException e) {
            LOG.error("{}: the arbiter's record could not be changed: {}", vm.state.vm(), e.toString());
            return new Outcome(vm.state.record(), storageFailed(vm.state.vm(), e));
        } finally {
            vm.lock.unlock();
        }
    }

    /** Commits everything journaled for the volumes it held and will hold, and lets the journal drain. */
    private void keepAll(Vm vm, VmState next, List<Volume> nextVolumes) throws IOException {
        Collection<Volume> concerned = union(vm.volumes, nextVolumes);
        closeGates(concerned);
        try {
            long last = journal.lastSequence();
            concerned.forEach(volume -> volume.seal(last));
            journal.sync(last);
            concerned.forEach(Volume::lockMarks);
            try (MetaStore.Batch batch = meta.batch()) {
                Map<Volume, LaneMarks> marks = new HashMap<>();
                for (Volume volume : concerned) {
                    marks.put(volume, volume.putCommitted(batch, last));
                }
                vm.put(batch, next, last);
                batch.write(true);
                marks.forEach(Volume::setMarks);
            } finally {
                concerned.forEach(Volume::unlockMarks);
            }
            settle(vm, next, nextVolumes, concerned, last);
        } finally {
            openGates(concerned);
        }
        afterChange(vm, concerned);
    }

    /** Commits through the chosen epoch and drops the rest. */
    private void dropAfter(Vm vm, VmState next) throws IOException {
        long epoch = next.record().getCommittedEpoch();
        long boundary = vm.boundaries.getOrDefault(epoch, vm.settled);
        closeGates(vm.volumes);
        try {
            long last = journal.lastSequence();
            journal.sync(boundary);
            vm.volumes.forEach(Volume::lockMarks);
            try (MetaStore.Batch batch = meta.batch()) {
                Map<Volume, LaneMarks> marks = new HashMap<>();
                for (Volume volume : vm.volumes) {
                    LaneMarks committed = volume.putCommitted(batch, boundary);
                    marks.put(volume, volume.putDropped(batch, committed, committed.committed(), last));
                }
                vm.put(batch, next, last);
                batch.write(true);
                marks.forEach(Volume::setMarks);
            } finally {
                vm.volumes.forEach(Volume::unlockMarks);
            }
            vm.volumes.forEach(Volume::dropUncommitted);
            settle(vm, next, vm.volumes, vm.volumes, last);
        } finally {
            openGates(vm.volumes);
        }
        afterChange(vm, vm.volumes);
    }

    /** Memory follows what is durable. Gates closed. */
    private void settle(Vm vm, VmState next, List<Volume> nextVolumes, Collection<Volume> concerned, long last) {
        vm.state = next;
        vm.volumes = List.copyOf(nextVolumes);
        vm.boundaries.clear();
        vm.settled = last;
        for (Volume volume : concerned) {
            volume.drain();
            volume.admit(vm.volumes.contains(volume) ? vm.admission() : Admission.FREE);
        }
    }

    private void afterChange(Vm vm, Collection<Volume> concerned) {
        concerned.forEach(Volume::revokeFenced);
        journal.settle(vm.lane, vm.settled);
        applier.look();
    }

    private void persist(Vm vm, VmState next, long settled) throws IOException {
        try (MetaStore.Batch batch = meta.batch()) {
            vm.put(batch, next, settled);
            batch.write(true);
        }
    }

    private static Collection<Volume> union(List<Volume> some, List<Volume> others) {
        TreeSet<Volume> union = new TreeSet<>(BY_NAME);
        union.addAll(some);
        union.addAll(others);
        return union;
    }

    private static void closeGates(Collection<Volume> volumes) {
        volumes.forEach(Volume::closeGate);
    }

    private static void openGates(Collection<Volume> volumes) {
        volumes.forEach(Volume::openGate);
    }

    private static void log(ArbiterRecord record) {
        LOG.info(
                "{}: {}, generation {}, primary '{}', backup '{}', committed epoch {}: {}",
                record.getVm(),
                record.getMode(),
                record.getGeneration(),
                record.getPrimary(),
                record.getBackup(),
                record.getCommittedEpoch(),
                record.getReason());
    }

    private static Outcome unknown(String vm) {
        return new Outcome(
                VmState.unknown(vm).record(), refusal(Code.WRONG_MODE, vm + " was never opened; open it first"));
    }

    private static Refusal storageFailed(String vm, IOException e) {
        return refusal(Code.STORAGE_FAILED, vm + ": " + e.getMessage());
    }

    private static Refusal refusal(Code code, String message) {
        return Refusal.newBuilder().setCode(code).setMessage(message).build();
    }
}
