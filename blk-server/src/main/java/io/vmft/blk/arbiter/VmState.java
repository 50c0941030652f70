package io.vmft.blk.arbiter;

import com.google.protobuf.ByteString;
import io.vmft.proto.blk.v1.ArbiterChange;
import io.vmft.proto.blk.v1.ArbiterHistory;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.ShowVmReply;
import java.util.List;
import java.util.OptionalLong;

/**
 * Everything the rules look at. Immutable.
 *
 * @param record what callers see
 * @param lastGiven the newest generation ever given out, the standby's too
 * @param inFlight sealed epochs that are not committed, rising
 * @param dataLost the host lost power under this VM: what was written after the last commit is gone
 * @param lastChange the call that led to this record, to recognise it when it is sent again; empty: none is repeatable
 * @param history the last changes, this record's too
 */
public record VmState(
        ArbiterRecord record,
        long lastGiven,
        List<Long> inFlight,
        boolean dataLost,
        ByteString lastChange,
        ArbiterHistory history) {
    /** So many changes are remembered. */
    static final int MAX_HISTORY = 64;

    public VmState {
        inFlight = List.copyOf(inFlight);
        if (record.getDataLost() != dataLost) {
            record = record.toBuilder().setDataLost(dataLost).build();
        }
    }

    /** Without a history. */
    public VmState(ArbiterRecord record, long lastGiven, List<Long> inFlight, boolean dataLost, ByteString lastChange) {
        this(record, lastGiven, inFlight, dataLost, lastChange, ArbiterHistory.getDefaultInstance());
    }

    /** A VM that was never opened. */
    public static VmState unknown(String vm) {
        return new VmState(
                ArbiterRecord.newBuilder().setVm(vm).setMode(Mode.CLOSED).build(),
                0,
                List.of(),
                false,
                ByteString.EMPTY);
    }

    public String vm() {
        return record.getVm();
    }

    public Mode mode() {
        return record.getMode();
    }

    /** Whether its volumes' writes are journaled by epoch: from the first seal on. */
    public boolean journals() {
        return mode() == Mode.PROTECTED || (mode() == Mode.SYNCING && !inFlight.isEmpty());
    }

    /** The newest epoch at or below {@code newest} that the disks can go back to. */
    OptionalLong newestStandingEpoch(long newest) {
        OptionalLong best = OptionalLong.empty();
        if (record.getCommittedEpoch() <= newest) {
            best = OptionalLong.of(record.getCommittedEpoch());
        }
        for (long epoch : inFlight) {
            if (epoch <= newest) {
                best = OptionalLong.of(epoch);
            }
        }
        return best;
    }

    /** As it is shown to operators. */
    public ShowVmReply shown() {
        return ShowVmReply.newBuilder()
                .setRecord(record)
                .setHistory(history)
                .addAllInFlight(inFlight)
                .build();
    }

    /** After a change of the record that {@code by} asked for: nothing is in flight, nothing lost. */
    VmState changed(ArbiterRecord next, long given, ByteString change, String by) {
        return new VmState(next, given, List.of(), false, change, historyWith(next, by));
    }

    /** After the commit of some of its epochs. */
    VmState committed(ArbiterRecord next, List<Long> left) {
        boolean changed = next.getMode() != mode();
        return new VmState(
                next, lastGiven, left, false, lastChange, changed ? historyWith(next, next.getPrimary()) : history);
    }

    private ArbiterHistory historyWith(ArbiterRecord next, String by) {
        ArbiterHistory.Builder longer = history.toBuilder()
                .addChanges(ArbiterChange.newBuilder()
                        .setAtMillis(next.getChangedAtMillis())
                        .setBy(by)
                        .setGeneration(next.getGeneration())
                        .setMode(next.getMode())
                        .setPrimary(next.getPrimary())
                        .setBackup(next.getBackup())
                        .setCommittedEpoch(next.getCommittedEpoch())
                        .setReason(next.getReason()));
        while (longer.getChangesCount() > MAX_HISTORY) {
            longer.removeChanges(0).setForgotten(longer.getForgotten() + 1);
        }
        return longer.build();
    }

    public VmState withInFlight(List<Long> epochs, long sealedEpoch) {
        return new VmState(
                record.toBuilder().setSealedEpoch(sealedEpoch).build(),
                lastGiven,
                epochs,
                dataLost,
                lastChange,
                history);
    }

    /** The last change is still known when it is asked for again: its answer may have been lost with the power. */
    public VmState withDataLost() {
        return new VmState(record, lastGiven, inFlight, true, lastChange, history);
    }

    /** As {@link #withDataLost()}, and it stands in the history, if it is news. */
    public VmState withDataLost(long nowMillis) {
        if (dataLost) {
            return this;
        }
        ArbiterRecord told = record.toBuilder()
                .setChangedAtMillis(nowMillis)
                .setReason("the storage host lost what was written and not synced; epoch " + record.getCommittedEpoch()
                        + " stands")
                .build();
        return new VmState(told, lastGiven, inFlight, true, lastChange, historyWith(told, "block server"));
    }
}
