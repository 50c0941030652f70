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
import io.vmft.proto.blk.v1.ForceRequest;
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
    /** Who forces something: as a host, and blanks. */
    private static final Pattern BY = Pattern.compile("[\\x21-\\x7e][\\x20-\\x7e]{0,254}");

    static final int MAX_VOLUMES = 64;
    static final int MAX_REASON_CHARACTERS = 500;
    static final int MAX_IN_FLIGHT = 64;

    private ArbiterRules() {}

    /** The volumes themselves are the caller's to check. */
    public static Decision open(VmState state, OpenRequest call, long nowMillis) {
        ArbiterRecord record = state.record();
        if (!HOST.matcher(call.getHost()).matches()) {
            return badName(state, "host", call.getHost());
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
                .setReason(
                        reason("opened by " + call.getHost() + (call.getFence() ? ", fencing" : ""), call.getReason()))
                .build();
        return new Accepted(state.changed(opened, next, ByteString.EMPTY, call.getHost()));
    }

    public static Decision beginProtect(VmState state, BeginProtectRequest call, long nowMillis) {
        if (isRepeated(state, "BeginProtect", call)) {
            return new Repeated(state);
        }
        if (!HOST.matcher(call.getBackup()).matches()) {
            return badName(state, "backup", call.getBackup());
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
                .setReason(reason("syncing backup " + call.getBackup(), call.getReason()))
                .build();
        return new Accepted(state.changed(record, next + 1, repeatable("BeginProtect", call), record.getPrimary()));
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
        return new Accepted(state.changed(record, next, repeatable("GoSolo", call), record.getPrimary()));
    }

    /** The epoch chosen is the next record's committed epoch. */
    public static Decision takeOver(VmState state, TakeOverRequest call, long nowMillis) {
        if (isRepeated(state, "TakeOver", call)) {
            return new Repeated(state);
        }
        if (!HOST.matcher(call.getHost()).matches()) {
            return badName(state, "host", call.getHost());
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
        return new Accepted(state.changed(record, state.lastGiven(), repeatable("TakeOver", call), call.getHost()));
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
        String host = state.record().getPrimary();
        ArbiterRecord record = closed(state, next)
                .setChangedAtMillis(nowMillis)
                .setReason(reason("closed by " + host, call.getReason()))
                .build();
        return new Accepted(state.changed(record, next, repeatable("Close", call), host));
    }

    /** What an operator decides, who saw the record as it is. */
    public static Decision force(VmState state, ForceRequest call, long nowMillis) {
        ArbiterRecord before = state.record();
        if (before.getGeneration() == 0) {
            return Refused.of(Code.WRONG_MODE, state.vm() + " was never opened; there is nothing to force");
        }
        if (call.getGeneration() != before.getGeneration()) {
            return Refused.of(
                    Code.FENCED,
                    state.vm() + ": it changed since generation " + call.getGeneration()
                            + " was looked at, the current one is " + before.getGeneration() + " (" + before.getReason()
                            + "); look at it again");
        }
        if (!BY.matcher(call.getBy()).matches()) {
            return badName(state, "by", call.getBy());
        }
        if (call.getReason().isBlank()) {
            return Refused.of(Code.BAD_REQUEST, state.vm() + ": force needs a reason, for the record's history");
        }
        if (state.mode() == Mode.CLOSED) {
            return Refused.of(
                    Code.WRONG_MODE,
                    state.vm() + " is CLOSED already (generation " + before.getGeneration()
                            + "); any host may open it, its volumes are free");
        }
        long next = state.lastGiven() + 1;
        ArbiterRecord.Builder record = switch (call.getAction()) {
            case CLOSE -> closed(state, next).setReason(reason("closed by force", call.getReason()));
            case SOLO ->
                kept(state)
                        .setGeneration(next)
                        .setMode(Mode.SOLO)
                        .setPrimary(call.getHost())
                        .setBackup("")
                        .setPrimaryGeneration(next)
                        .setStandbyGeneration(0)
                        .setReason(reason("given to " + call.getHost() + " by force", call.getReason()));
            case ACTION_UNSPECIFIED, UNRECOGNIZED -> null;
        };
        if (record == null) {
            return Refused.of(Code.BAD_REQUEST, state.vm() + ": force knows CLOSE and SOLO");
        }
        if (call.getAction() == ForceRequest.Action.SOLO
                && !HOST.matcher(call.getHost()).matches()) {
            return badName(state, "host", call.getHost());
        }
        return new Accepted(
                state.changed(record.setChangedAtMillis(nowMillis).build(), next, ByteString.EMPTY, call.getBy()));
    }

    private static ArbiterRecord.Builder closed(VmState state, long generation) {
        return kept(state)
                .setGeneration(generation)
                .setMode(Mode.CLOSED)
                .setPrimary("")
                .setBackup("")
                .setPrimaryGeneration(0)
                .setStandbyGeneration(0)
                .clearVolumes();
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
        return new Accepted(state.committed(record.build(), left));
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
                    Code.WRONG_MODE,
                    state.vm() + " is " + state.mode() + " (generation " + record.getGeneration() + "), " + call
                            + " is for " + List.of(allowed) + "; " + wayOut(call, record));
        }
        return needsAllData && state.dataLost() ? dataLost(state) : null;
    }

    private static String wayOut(String call, ArbiterRecord record) {
        return switch (record.getMode()) {
            case CLOSED -> call.equals("Close") ? "nothing is to be done" : "open it first";
            case SOLO -> "it has no backup; begin to protect it first";
            case SYNCING ->
                call.equals("TakeOver")
                        ? "its backup " + record.getBackup() + " holds no whole checkpoint yet, ask again"
                        : "it has the backup " + record.getBackup() + " already";
            case PROTECTED -> "it has the backup " + record.getBackup() + " already";
            case MODE_UNSPECIFIED, UNRECOGNIZED -> "its record is damaged; see blk-server check";
        };
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

    private static Refused badName(VmState state, String field, String value) {
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
