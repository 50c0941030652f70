package io.vmft.blk.arbiter;

import com.google.protobuf.ByteString;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
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
 */
public record VmState(
        ArbiterRecord record, long lastGiven, List<Long> inFlight, boolean dataLost, ByteString lastChange) {
    public VmState {
        inFlight = List.copyOf(inFlight);
        if (record.getDataLost() != dataLost) {
            record = record.toBuilder().setDataLost(dataLost).build();
        }
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

    public VmState withInFlight(List<Long> epochs, long sealedEpoch) {
        return new VmState(
                record.toBuilder().setSealedEpoch(sealedEpoch).build(), lastGiven, epochs, dataLost, lastChange);
    }

    /** The last change is still known when it is asked for again: its answer may have been lost with the power. */
    public VmState withDataLost() {
        return new VmState(record, lastGiven, inFlight, true, lastChange);
    }
}
