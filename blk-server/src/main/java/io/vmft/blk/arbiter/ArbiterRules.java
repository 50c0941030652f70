package io.vmft.blk.arbiter;

import com.google.protobuf.ByteString;
import com.google.protobuf.MessageLite;
import io.vmft.blk.arbiter.Decision.Accepted;
import io.vmft.blk.arbiter.Decision.Refused;
import io.vmft.blk.arbiter.Decision.Repeated;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal.Code;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.OptionalLong;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The table of ARCHITECTURE.md, "Generations and exports". Every method is a function of its arguments.
 *
 * <p>A call that changes the record and is sent again, because its answer was lost, is recognised by its content as long as no
 * other change came between. Open is the exception: two equal ones may be two starts of the VM, so each fences the one before.
 */
public final class ArbiterRules {
    /** VM names, as volume names. */
    public static final Pattern NAME = Pattern.compile("[A-Za-z0-9._-]{1,128}");

    private static final Pattern HOST = Pattern.compile("[\\x21-\\x7e]{1,255}");
    static final int MAX_VOLUMES = 64;
    static final int MAX_REASON_CHARACTERS = 500;
    static final int MAX_IN_FLIGHT = 64;

    private ArbiterRules() {}

    /** The volumes themselves are the caller's to check. */
    public static Decision open(VmState state, OpenRequest call, long nowMillis) {
        ArbiterRecord record = state.record();
        if (!HOST.matcher(call.getHost()).matches()) {
            return badHost(state, "host", call.getHost());
        }
        if (call.getVolumesCount() > MAX_VOLUMES) {
            return Refused.of(
                    Code.BAD_REQUEST,
                    state.vm() + ": " + call.getVolumesCount() + " volumes, at most " + MAX_VOLUMES + " are allowed");
        }
        if (new HashSet<>(call.getVolumesList()).size() != call.getVolumesCount()) {
            return Refused.of(Code.BAD_REQUEST, state.vm() + ": a volume is named twice in " + call.getVolumesList());
        }
        if (state.mode() != Mode.CLOSED && !record.getPrimary().equals(call.getHost()) && !call.getFence()) {
            return Refused.of(
                    Code.HELD,
                    state.vm() + " is held by " + record.getPrimary() + " (" + state.mode() + ", generation "
                            + record.getGeneration() + "); stop it there, or open with fence if that host is dead");
        }
        long next = state.lastGiven() + 1;
        ArbiterRecord opened = kept(state)
                .setGeneration(next)
                .setMode(Mode.SOLO)
                .setPrimary(call.getHost())
                .setBackup("")
                .setPrimaryGeneration(next)
                .setStandbyGeneration(0)
                .clearVolumes()
                .addAllVolumes(call.getVolumesList())
                .setChangedAtMillis(nowMillis)
                .setReason("opened by " + call.getHost() + (call.getFence() ? ", fencing" : ""))
                .build();
        return new Accepted(new VmState(opened, next, List.of(), false, ByteString.EMPTY));
    }

    public static Decision beginProtect(VmState state, BeginProtectRequest call, long nowMillis) {
        if (isRepeated(state, "BeginProtect", call)) {
            return new Repeated(state);
        }
        if (!HOST.matcher(call.getBackup()).matches()) {
            return badHost(state, "backup", call.getBackup());
        }
        Refused refused = refusal(state, call.getGeneration(), "BeginProtect", true, Mode.SOLO);
        if (refused != null) {
            return refused;
        }
        long next = state.lastGiven() + 1;
        ArbiterRecord record = state.record().toBuilder()
                .setGeneration(next)
                .setMode(Mode.SYNCING)
                .setBackup(call.getBackup())
                .setStandbyGeneration(next + 1)
                .setChangedAtMillis(nowMillis)
                .setReason("syncing backup " + call.getBackup())
                .build();
        return new Accepted(new VmState(record, next + 1, List.of(), false, repeatable("BeginProtect", call)));
    }

    public static Decision goSolo(VmState state, GoSoloRequest call, long nowMillis) {
        if (isRepeated(state, "GoSolo", call)) {
            return new Repeated(state);
        }
        Refused refused = refusal(state, call.getGeneration(), "GoSolo", true, Mode.SYNCING, Mode.PROTECTED);
        if (refused != null) {
            return refused;
        }
        long next = state.lastGiven() + 1;
        ArbiterRecord record = kept(state)
                .setGeneration(next)
                .setMode(Mode.SOLO)
                .setBackup("")
                .setStandbyGeneration(0)
                .setChangedAtMillis(nowMillis)
                .setReason(reason("went solo", call.getReason()))
                .build();
        return new Accepted(new VmState(record, next, List.of(), false, repeatable("GoSolo", call)));
    }

    /** The epoch chosen is the next record's committed epoch. */
    public static Decision takeOver(VmState state, TakeOverRequest call, long nowMillis) {
        if (isRepeated(state, "TakeOver", call)) {
            return new Repeated(state);
        }
        if (!HOST.matcher(call.getHost()).matches()) {
            return badHost(state, "host", call.getHost());
        }
        Refused refused = refusal(state, call.getGeneration(), "TakeOver", false, Mode.PROTECTED);
        if (refused != null) {
            return refused;
        }
        OptionalLong epoch = state.newestStandingEpoch(call.getNewestEpoch());
        if (epoch.isEmpty() || epoch.getAsLong() < call.getOldestEpoch()) {
            return Refused.of(
                    Code.BAD_EPOCH,
                    state.vm() + ": the disks can go to epoch "
                            + state.record().getCommittedEpoch() + " or " + state.inFlight() + ", none is in "
                            + call.getOldestEpoch() + " to " + call.getNewestEpoch()
                            + "; this backup cannot take over");
        }
        long standby = state.record().getStandbyGeneration();
        ArbiterRecord record = state.record().toBuilder()
                .setGeneration(standby)
                .setMode(Mode.SOLO)
                .setPrimary(call.getHost())
                .setBackup("")
                .setCommittedEpoch(epoch.getAsLong())
                .setPrimaryGeneration(standby)
                .setStandbyGeneration(0)
                .setChangedAtMillis(nowMillis)
                .setReason(reason("taken over at epoch " + epoch.getAsLong(), call.getReason()))
                .build();
        return new Accepted(new VmState(record, state.lastGiven(), List.of(), false, repeatable("TakeOver", call)));
    }

    public static Decision close(VmState state, CloseRequest call, long nowMillis) {
        if (isRepeated(state, "Close", call)) {
            return new Repeated(state);
        }
        Refused refused = refusal(state, call.getGeneration(), "Close", false, Mode.SOLO, Mode.SYNCING, Mode.PROTECTED);
        if (refused != null) {
            return refused;
        }
        long next = state.lastGiven() + 1;
        ArbiterRecord record = kept(state)
                .setGeneration(next)
                .setMode(Mode.CLOSED)
                .setPrimary("")
                .setBackup("")
                .setPrimaryGeneration(0)
                .setStandbyGeneration(0)
                .clearVolumes()
                .setChangedAtMillis(nowMillis)
                .setReason("closed by " + state.record().getPrimary())
                .build();
        return new Accepted(new VmState(record, next, List.of(), false, repeatable("Close", call)));
    }

    public static Decision seal(VmState state, SealRequest call) {
        Refused refused = refusal(state, call.getGeneration(), "Seal", true, Mode.SYNCING, Mode.PROTECTED);
        if (refused != null) {
            return refused;
        }
        long sealed = state.record().getSealedEpoch();
        List<Long> inFlight = state.inFlight();
        if (call.getEpoch() == sealed && !inFlight.isEmpty() && inFlight.getLast() == sealed) {
            return new Repeated(state);
        }
        if (call.getEpoch() <= sealed) {
            return Refused.of(
                    Code.BAD_EPOCH,
                    state.vm() + ": epoch " + call.getEpoch() + " cannot be sealed, " + sealed
                            + " was; seal a newer one");
        }
        if (inFlight.size() >= MAX_IN_FLIGHT) {
            return Refused.of(
                    Code.BAD_EPOCH,
                    state.vm() + ": " + inFlight.size() + " epochs are sealed and not committed; commit "
                            + inFlight.getFirst() + " first");
        }
        List<Long> next = new ArrayList<>(inFlight);
        next.add(call.getEpoch());
        return new Accepted(state.withInFlight(next, call.getEpoch()));
    }

    public static Decision commit(VmState state, CommitRequest call, long nowMillis) {
        Refused refused = refusal(state, call.getGeneration(), "Commit", false, Mode.SYNCING, Mode.PROTECTED);
        if (refused != null) {
            return refused;
        }
        // In SYNCING the committed epoch is an earlier protection's.
        if (state.mode() == Mode.PROTECTED && call.getEpoch() <= state.record().getCommittedEpoch()) {
            return new Repeated(state);
        }
        if (state.dataLost()) {
            return dataLost(state);
        }
        if (!state.inFlight().contains(call.getEpoch())) {
            return Refused.of(
                    Code.BAD_EPOCH,
                    state.vm() + ": epoch " + call.getEpoch() + " cannot be committed, sealed are " + state.inFlight());
        }
        ArbiterRecord.Builder record = state.record().toBuilder().setCommittedEpoch(call.getEpoch());
        if (state.mode() == Mode.SYNCING) {
            record.setMode(Mode.PROTECTED)
                    .setChangedAtMillis(nowMillis)
                    .setReason("protected by " + record.getBackup() + " from epoch " + call.getEpoch());
        }
        List<Long> left = state.inFlight().stream()
                .filter(epoch -> epoch > call.getEpoch())
                .toList();
        return new Accepted(new VmState(record.build(), state.lastGiven(), left, false, state.lastChange()));
    }

    /** A record whose journaled writes are all kept: the newest sealed epoch is as good as committed. */
    private static ArbiterRecord.Builder kept(VmState state) {
        ArbiterRecord.Builder record = state.record().toBuilder();
        if (!state.inFlight().isEmpty() && !state.dataLost()) {
            record.setCommittedEpoch(state.inFlight().getLast());
        }
        return record;
    }

    private static @Nullable Refused refusal(
            VmState state, long generation, String call, boolean needsAllData, Mode... allowed) {
        ArbiterRecord record = state.record();
        if (record.getGeneration() == 0) {
            return Refused.of(Code.WRONG_MODE, state.vm() + " was never opened; open it first");
        }
        if (generation != record.getGeneration()) {
            return Refused.of(
                    Code.FENCED,
                    state.vm() + ": generation " + generation + " is fenced, the current one is "
                            + record.getGeneration() + " (" + record.getReason() + "); stop this VM here");
        }
        if (!List.of(allowed).contains(state.mode())) {
            return Refused.of(
                    Code.WRONG_MODE, state.vm() + " is " + state.mode() + ", " + call + " is for " + List.of(allowed));
        }
        return needsAllData && state.dataLost() ? dataLost(state) : null;
    }

    private static Refused dataLost(VmState state) {
        return Refused.of(
                Code.DATA_LOST,
                state.vm() + ": the storage host lost what was written and not synced; "
                        + (state.mode() == Mode.PROTECTED
                                ? "its backup can go on from epoch "
                                        + state.record().getCommittedEpoch() + ", or it is to be restarted"
                                : "it is to be restarted"));
    }

    private static Refused badHost(VmState state, String field, String value) {
        return Refused.of(
                Code.BAD_REQUEST,
                state.vm() + ": " + field + " '" + value.replaceAll("[^\\x20-\\x7e]", "?")
                        + "' is not a name of 1 to 255 visible ASCII characters");
    }

    private static String reason(String what, String why) {
        String clean = why.replaceAll("\\p{Cntrl}", " ").strip();
        if (clean.length() > MAX_REASON_CHARACTERS) {
            clean = clean.substring(0, MAX_REASON_CHARACTERS);
        }
        return clean.isEmpty() ? what : what + ": " + clean;
    }

    private static boolean isRepeated(VmState state, String call, MessageLite request) {
        return !state.lastChange().isEmpty() && state.lastChange().equals(repeatable(call, request));
    }

    private static ByteString repeatable(String call, MessageLite request) {
        return ByteString.copyFromUtf8(call + " ").concat(request.toByteString());
    }
}
