package io.vmft.blk.control;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.volume.Admission;
import io.vmft.blk.volume.Volume;
import io.vmft.proto.blk.v1.ArbiterHistory;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.util.List;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** A VM as the coordinator holds it. All fields under {@code lock}. */
final class Vm {
    private static final byte FORMAT = 1;

    final ReentrantLock lock = new ReentrantLock();
    final Condition idle = lock.newCondition();
    /** Its number in the journal, for its seals. */
    final int lane;

    VmState state;
    /** Volumes it holds, by name; empty when closed. */
    List<Volume> volumes = List.of();
    /** Where each epoch in flight ends in the journal. */
    final NavigableMap<Long, Long> boundaries = new TreeMap<>();
    /** Where the committed epoch ends in the journal; seals at or below mean nothing any more. */
    long settled;
    /** A commit is being made durable: the record may not change, but for new seals. */
    boolean committing;
    /** Why the last commit failed; null: it did not. */
    @Nullable
    String commitTrouble;

    Vm(int lane, VmState state) {
        this.lane = lane;
        this.state = state;
    }

    void awaitIdle() {
        while (committing) {
            idle.awaitUninterruptibly();
        }
    }

    Admission admission() {
        ArbiterRecord record = state.record();
        @Nullable
        String barred =
                state.dataLost() ? "the storage host lost power and with it unsynced writes; restart the VM" : null;
        return state.mode() == Mode.CLOSED
                ? Admission.FREE
                : new Admission(record.getVm(), record.getPrimaryGeneration(), record.getStandbyGeneration(), barred);
    }

    /** Puts what is stored of it, as it will be, into a batch; its history only if that changes. */
    void put(MetaStore.Batch batch, VmState next, long nextSettled) throws IOException {
        batch.putVm(next.vm(), encode(next, nextSettled));
        if (!next.history().equals(state.history())) {
            batch.putHistory(next.vm(), next.history().toByteArray());
        }
    }

    /**
     * The record as it is stored. Seals in flight are not: the journal has them.
     *
     * <pre>
     *   u8 FORMAT, u32 lane, u64 settled, u64 last given generation, u8 data lost,
     *   u32 length + last change, u32 length + ArbiterRecord (protobuf)
     * </pre>
     */
    private byte[] encode(VmState next, long nextSettled) {
        try (ByteArrayOutputStream bytes = new ByteArrayOutputStream();
                DataOutputStream out = new DataOutputStream(bytes)) {
            out.writeByte(FORMAT);
            out.writeInt(lane);
            out.writeLong(nextSettled);
            out.writeLong(next.lastGiven());
            out.writeBoolean(next.dataLost());
            out.writeInt(next.lastChange().size());
            next.lastChange().writeTo(out);
            byte[] record = next.record().toByteArray();
            out.writeInt(record.length);
            out.write(record);
            return bytes.toByteArray();
        } catch (IOException e) {
            throw new AssertionError("writing to memory", e);
        }
    }

    /**
     * What was stored of one.
     *
     * @param history its history, stored beside the record; null: none
     */
    static Vm decode(String name, byte[] value, byte @Nullable [] history) throws IOException {
        try (DataInputStream in = new DataInputStream(new ByteArrayInputStream(value))) {
            byte format = in.readByte();
            if (format != FORMAT) {
                throw new IOException(
                        "VM " + name + ": its record has format " + format + ", this server reads " + FORMAT);
            }
            int lane = in.readInt();
            long settled = in.readLong();
            long lastGiven = in.readLong();
            boolean dataLost = in.readBoolean();
            ByteString lastChange = ByteString.copyFrom(in.readNBytes(in.readInt()));
            ArbiterRecord record = ArbiterRecord.parseFrom(in.readNBytes(in.readInt()));
            ArbiterHistory changes =
                    history == null ? ArbiterHistory.getDefaultInstance() : ArbiterHistory.parseFrom(history);
            Vm vm = new Vm(lane, new VmState(record, lastGiven, List.of(), dataLost, lastChange, changes));
            vm.settled = settled;
            return vm;
        } catch (RuntimeException | EOFException | InvalidProtocolBufferException e) {
            throw new IOException("VM " + name + ": its record is damaged", e);
        }
    }
}
