package io.vmft.engine.simulation;

import com.google.protobuf.ByteString;
import io.vmft.blk.arbiter.ArbiterRules;
import io.vmft.blk.arbiter.Decision;
import io.vmft.blk.arbiter.Decision.Accepted;
import io.vmft.blk.arbiter.Decision.Refused;
import io.vmft.blk.arbiter.VmState;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * The block server: the arbiter's own rules, and a disk of one number with the journal's meaning of seal, commit, takeover, kill and
 * power loss ({@code docs/decisions/journal.md}).
 */
final class SimulatedStorage {
    static final String VM = "vm";

    /** An answer: the record afterwards, and why it was refused. */
    record Answer(ArbiterRecord record, Refusal.@Nullable Code refusal) {}

    private final Schedule schedule;
    private final Outside outside;
    private final Mistake mistake;

    private VmState state = VmState.unknown(VM);
    private final TreeMap<Long, Integer> boundaries = new TreeMap<>();
    private int disk;
    private int durable;
    private int committedDisk;
    private long storedSealedEpoch;
    private boolean up = true;
    private int starts;
    private long fullUntil;
    /** What the backup of a generation held whole at its best; for checking only. */
    private final Map<Long, Long> complete = new HashMap<>();

    SimulatedStorage(Schedule schedule, Outside outside, Mistake mistake) {
        this.schedule = schedule;
        this.outside = outside;
        this.mistake = mistake;
    }

    // ---- NBD

    boolean serves(long export) {
        boolean current = state.record().getPrimaryGeneration() == export || mistake == Mistake.SERVE_OLD_GENERATIONS;
        return up && current && !state.dataLost() && state.mode() != Mode.CLOSED;
    }

    int read() {
        return disk;
    }

    void write(int version) {
        disk = version;
    }

    /** Whether it is acknowledged. */
    boolean flush() {
        if (state.mode() == Mode.PROTECTED || mistake == Mistake.FLUSH_EARLY) {
            return true;
        }
        if (isFull()) {
            return false;
        }
        durable = disk;
        return true;
    }

    // ---- control calls

    boolean isUp() {
        return up;
    }

    /** Counts starts; a connection to an earlier one is dead. */
    int starts() {
        return starts;
    }

    ArbiterRecord record() {
        return state.record();
    }

    boolean isHeldBy(long export) {
        return state.record().getPrimaryGeneration() == export;
    }

    Answer get() {
        return new Answer(state.record(), null);
    }

    Answer open(OpenRequest call) {
        return change(ArbiterRules.open(state, call, 0), () -> {
            keepAll();
            outside.goesOnFrom(call.getHost(), disk);
        });
    }

    Answer beginProtect(BeginProtectRequest call) {
        return change(ArbiterRules.beginProtect(state, call, 0), boundaries::clear);
    }

    Answer goSolo(GoSoloRequest call) {
        return change(ArbiterRules.goSolo(state, call, 0), this::keepAll);
    }

    Answer takeOver(TakeOverRequest call) {
        TakeOverRequest judged = mistake == Mistake.TAKE_OVER_WITHOUT_ARBITER
                ? call.toBuilder().setGeneration(state.record().getGeneration()).build()
                : call;
        long before = state.record().getCommittedEpoch();
        Decision decision = ArbiterRules.takeOver(state, judged, 0);
        return change(decision, () -> {
            long epoch = ((Accepted) decision).next().record().getCommittedEpoch();
            outside.check(epoch >= before, "takeover at " + epoch + " behind committed epoch " + before);
            if (mistake != Mistake.KEEP_ALL_ON_TAKE_OVER) {
                disk = boundaries.getOrDefault(epoch, committedDisk);
            }
            keepAll();
            outside.goesOnFrom(call.getHost(), disk);
        });
    }

    Answer seal(SealRequest call) {
        Decision decision = ArbiterRules.seal(state, call);
        if (decision instanceof Accepted(VmState next)) {
            if (isFull()) {
                return failed();
            }
            state = next;
            boundaries.put(call.getEpoch(), disk);
        }
        return answer(decision);
    }

    Answer commit(CommitRequest call) {
        Decision decision = ArbiterRules.commit(state, call, 0);
        if (decision instanceof Accepted(VmState next)) {
            if (isFull()) {
                return failed();
            }
            outside.check(
                    complete.getOrDefault(call.getGeneration(), 0L) >= call.getEpoch(),
                    "epoch " + call.getEpoch() + " is committed, and no backup holds it");
            state = next;
            committedDisk = boundaries.getOrDefault(call.getEpoch(), committedDisk);
            durable = Math.max(durable, committedDisk);
            boundaries.headMap(call.getEpoch(), true).clear();
            storedSealedEpoch = next.record().getSealedEpoch();
        }
        return answer(decision);
    }

    /** For checking: the backup of {@code generation} holds {@code epoch} whole. */
    void isComplete(long generation, long epoch) {
        complete.put(generation, epoch);
        if (state.record().getGeneration() == generation) {
            outside.check(
                    state.dataLost() || state.record().getSealedEpoch() >= epoch,
                    "epoch " + epoch + " is complete, sealed is "
                            + state.record().getSealedEpoch());
        }
    }

    private Answer change(Decision decision, Runnable effect) {
        if (decision instanceof Accepted(VmState next)) {
            if (isFull()) {
                return failed();
            }
            effect.run();
            state = next;
            storedSealedEpoch = next.record().getSealedEpoch();
        }
        return answer(decision);
    }

    private Answer answer(Decision decision) {
        return new Answer(
                state.record(),
                decision instanceof Refused refused ? refused.refusal().getCode() : null);
    }

    private Answer failed() {
        return new Answer(state.record(), Refusal.Code.STORAGE_FAILED);
    }

    private void keepAll() {
        durable = disk;
        committedDisk = disk;
        boundaries.clear();
    }

    // ---- what happens to it

    private boolean isFull() {
        return schedule.now() < fullUntil;
    }

    /** Nothing can be written to the journal for a while. */
    void fill(long ticks) {
        fullUntil = schedule.now() + ticks;
    }

    void kill(long ticks) {
        if (up) {
            up = false;
            starts++;
            schedule.after(ticks, () -> up = true);
        }
    }

    void losePower(long ticks) {
        if (!up) {
            return;
        }
        kill(ticks);
        if (mistake == Mistake.POWER_LOSS_AS_KILL) {
            disk = state.mode() == Mode.PROTECTED ? committedDisk : durable;
            return;
        }
        if (state.mode() == Mode.CLOSED) {
            return;
        }
        if (state.mode() == Mode.PROTECTED) {
            disk = committedDisk;
            boundaries.clear();
        } else {
            // Unsynced writes are there up to a point.
            disk = schedule.between(Math.min(durable, disk), disk);
            boundaries.values().removeIf(version -> version > disk);
        }
        long sealed = boundaries.isEmpty() ? storedSealedEpoch : Math.max(storedSealedEpoch, boundaries.lastKey());
        state = state.withInFlight(List.copyOf(boundaries.keySet()), sealed).withDataLost();
        if (mistake == Mistake.FORGET_LAST_CHANGE) {
            state = new VmState(state.record(), state.lastGiven(), state.inFlight(), true, ByteString.EMPTY);
        }
    }
}
