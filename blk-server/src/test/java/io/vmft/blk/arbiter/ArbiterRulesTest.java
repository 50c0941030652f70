package io.vmft.blk.arbiter;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.vmft.proto.blk.v1.ArbiterChange;
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
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ArbiterRulesTest {
    private static final long NOW = 1_000;

    /** Every call in every mode, with the right generation (6) and with an old one (5). */
    @ParameterizedTest(name = "{0} in {1}: {2}, with an old generation {3}")
    @CsvSource({
        // call,      mode,      right generation, old generation
        "Open,         CLOSED,    SOLO,       SOLO",
        "Open,         SOLO,      SOLO,       SOLO",
        "Open,         SYNCING,   SOLO,       SOLO",
        "Open,         PROTECTED, SOLO,       SOLO",
        "OpenElse,     CLOSED,    SOLO,       SOLO",
        "OpenElse,     SOLO,      HELD,       HELD",
        "OpenElse,     SYNCING,   HELD,       HELD",
        "OpenElse,     PROTECTED, HELD,       HELD",
        "OpenFence,    CLOSED,    SOLO,       SOLO",
        "OpenFence,    SOLO,      SOLO,       SOLO",
        "OpenFence,    SYNCING,   SOLO,       SOLO",
        "OpenFence,    PROTECTED, SOLO,       SOLO",
        "BeginProtect, CLOSED,    WRONG_MODE, FENCED",
        "BeginProtect, SOLO,      SYNCING,    FENCED",
        "BeginProtect, SYNCING,   WRONG_MODE, FENCED",
        "BeginProtect, PROTECTED, WRONG_MODE, FENCED",
        "GoSolo,       CLOSED,    WRONG_MODE, FENCED",
        "GoSolo,       SOLO,      WRONG_MODE, FENCED",
        "GoSolo,       SYNCING,   SOLO,       FENCED",
        "GoSolo,       PROTECTED, SOLO,       FENCED",
        "TakeOver,     CLOSED,    WRONG_MODE, FENCED",
        "TakeOver,     SOLO,      WRONG_MODE, FENCED",
        "TakeOver,     SYNCING,   WRONG_MODE, FENCED",
        "TakeOver,     PROTECTED, SOLO,       FENCED",
        "Close,        CLOSED,    WRONG_MODE, FENCED",
        "Close,        SOLO,      CLOSED,     FENCED",
        "Close,        SYNCING,   CLOSED,     FENCED",
        "Close,        PROTECTED, CLOSED,     FENCED",
        "ForceClose,   CLOSED,    WRONG_MODE, FENCED",
        "ForceClose,   SOLO,      CLOSED,     FENCED",
        "ForceClose,   SYNCING,   CLOSED,     FENCED",
        "ForceClose,   PROTECTED, CLOSED,     FENCED",
        "ForceSolo,    CLOSED,    WRONG_MODE, FENCED",
        "ForceSolo,    SOLO,      SOLO,       FENCED",
        "ForceSolo,    SYNCING,   SOLO,       FENCED",
        "ForceSolo,    PROTECTED, SOLO,       FENCED",
        "Seal,         CLOSED,    WRONG_MODE, FENCED",
        "Seal,         SOLO,      WRONG_MODE, FENCED",
        "Seal,         SYNCING,   SYNCING,    FENCED",
        "Seal,         PROTECTED, PROTECTED,  FENCED",
        "Commit,       CLOSED,    WRONG_MODE, FENCED",
        "Commit,       SOLO,      WRONG_MODE, FENCED",
        "Commit,       SYNCING,   PROTECTED,  FENCED",
        "Commit,       PROTECTED, PROTECTED,  FENCED",
    })
    void everyCallInEveryMode(String call, Mode mode, String right, String old) {
        assertThat(resultOf(apply(call, in(mode), 6))).isEqualTo(right);
        assertThat(resultOf(apply(call, in(mode), 5))).isEqualTo(old);
    }

    /** Every call with lost data, right generation. */
    @ParameterizedTest(name = "{0} in {1} after lost data: {2}")
    @CsvSource({
        "Open,         SOLO,      SOLO",
        "Open,         SYNCING,   SOLO",
        "Open,         PROTECTED, SOLO",
        "OpenElse,     PROTECTED, HELD",
        "BeginProtect, SOLO,      DATA_LOST",
        "GoSolo,       SYNCING,   DATA_LOST",
        "GoSolo,       PROTECTED, DATA_LOST",
        "TakeOver,     PROTECTED, SOLO",
        "Close,        SOLO,      CLOSED",
        "Close,        PROTECTED, CLOSED",
        "ForceClose,   PROTECTED, CLOSED",
        "ForceSolo,    PROTECTED, SOLO",
        "Seal,         SYNCING,   DATA_LOST",
        "Seal,         PROTECTED, DATA_LOST",
        "Commit,       SYNCING,   DATA_LOST",
        "Commit,       PROTECTED, DATA_LOST",
    })
    void everyCallWithLostData(String call, Mode mode, String result) {
        assertThat(resultOf(apply(call, in(mode).withDataLost(), 6))).isEqualTo(result);
    }

    @Test
    void numbersFollowTheTable() {
        VmState never = VmState.unknown("vm1");
        ArbiterRecord opened = next(apply("Open", never, 0)).record();
        assertThat(numbers(opened)).containsExactly(1L, 1L, 0L);

        VmState solo = next(apply("Open", never, 0));
        VmState syncing = next(apply("BeginProtect", solo, 1));
        assertThat(numbers(syncing.record())).as("g=n, p stays, s=n+1").containsExactly(2L, 1L, 3L);

        VmState sealed = next(ArbiterRules.seal(syncing, seal(2, 1)));
        VmState guarded = next(ArbiterRules.commit(sealed, commit(2, 1), NOW));
        assertThat(numbers(guarded.record()))
                .as("the first commit changes none")
                .containsExactly(2L, 1L, 3L);

        assertThat(numbers(next(apply("TakeOver", guarded, 2)).record()))
                .as("g and p become s")
                .containsExactly(3L, 3L, 0L);
        assertThat(numbers(next(apply("GoSolo", guarded, 2)).record()))
                .as("n skips s, which was given out")
                .containsExactly(4L, 1L, 0L);
        assertThat(numbers(next(apply("Close", guarded, 2)).record())).containsExactly(4L, 0L, 0L);
        assertThat(numbers(next(apply("Open", guarded, 2)).record())).containsExactly(4L, 4L, 0L);
        VmState over = next(apply("TakeOver", guarded, 2));
        assertThat(numbers(next(apply("BeginProtect", over, 3)).record())).containsExactly(4L, 3L, 5L);
    }

    @ParameterizedTest(name = "committed 10, sealed 12 and 14: {0} to {1} gives {2}")
    @CsvSource({
        "10, 10, 10",
        "10, 11, 10",
        "10, 12, 12",
        "10, 13, 12",
        "12, 13, 12",
        "10, 14, 14",
        "10, 99, 14",
        "14, 99, 14",
        "11, 11, 0",
        "13, 13, 0",
        "15, 99, 0",
        "0, 9, 0"
    })
    void aTakeOverTakesTheNewestEpochThatBothHold(long oldest, long newest, long chosen) {
        Decision decision = ArbiterRules.takeOver(in(Mode.PROTECTED), takeOver(6, oldest, newest), NOW);
        if (chosen == 0) {
            assertThat(resultOf(decision)).isEqualTo("BAD_EPOCH");
        } else {
            assertThat(next(decision).record().getCommittedEpoch()).isEqualTo(chosen);
            assertThat(next(decision).record().getSealedEpoch())
                    .as("numbers used up are not used again")
                    .isEqualTo(14);
        }
    }

    @Test
    void exactlyOneOfTakeOverAndGoSoloWins() {
        VmState guarded = in(Mode.PROTECTED);
        VmState taken = next(apply("TakeOver", guarded, 6));
        assertThat(resultOf(apply("GoSolo", taken, 6))).isEqualTo("FENCED");
        VmState solo = next(apply("GoSolo", guarded, 6));
        assertThat(resultOf(apply("TakeOver", solo, 6))).isEqualTo("FENCED");
    }

    @ParameterizedTest(name = "{0} sent again")
    @CsvSource({"BeginProtect, SOLO", "GoSolo, PROTECTED", "TakeOver, PROTECTED", "Close, PROTECTED"})
    void aCallSentAgainIsAnsweredAgainAndChangesNothing(String call, Mode mode) {
        VmState changed = next(apply(call, in(mode), 6));
        assertThat(apply(call, changed, 6)).isEqualTo(new Decision.Repeated(changed));
        assertThat(resultOf(apply(call, changed, 4))).as("by somebody else").isIn("FENCED", "WRONG_MODE");
    }

    /** Its answer was lost with the storage host's power: who asks again is no stranger. */
    @ParameterizedTest(name = "{0} in {1}")
    @CsvSource({"BeginProtect, SOLO", "GoSolo, PROTECTED", "TakeOver, PROTECTED"})
    void aCallSentAgainAfterAPowerLossIsKnownAndToldOfTheLoss(String call, Mode mode) {
        VmState after = next(apply(call, in(mode), 6)).withDataLost();
        assertThat(apply(call, after, 6)).isEqualTo(new Decision.Repeated(after));
        assertThat(after.record().getDataLost()).isTrue();
    }

    @Test
    void whoOpensOrTakesOverHasAllItsData() {
        VmState lost = in(Mode.PROTECTED).withDataLost();
        assertThat(next(apply("TakeOver", lost, 6)).record().getDataLost()).isFalse();
        assertThat(next(apply("Open", lost, 6)).record().getDataLost()).isFalse();
        assertThat(next(apply("Close", lost, 6)).record().getDataLost()).isFalse();
    }

    @Test
    void beginProtectSentAgainIsRecognisedAfterEpochsWentOn() {
        VmState state = next(apply("BeginProtect", in(Mode.SOLO), 6));
        long generation = state.record().getGeneration();
        state = next(ArbiterRules.seal(state, seal(generation, 20)));
        state = next(ArbiterRules.commit(state, commit(generation, 20), NOW));
        assertThat(apply("BeginProtect", state, 6)).isEqualTo(new Decision.Repeated(state));
    }

    @Test
    void sealsRiseAndMaySkip() {
        VmState state = in(Mode.PROTECTED);
        assertThat(resultOf(ArbiterRules.seal(state, seal(6, 13)))).isEqualTo("BAD_EPOCH");
        assertThat(resultOf(ArbiterRules.seal(state, seal(6, 12))))
                .as("sealed, but not the newest")
                .isEqualTo("BAD_EPOCH");
        assertThat(ArbiterRules.seal(state, seal(6, 14))).isInstanceOf(Decision.Repeated.class);
        assertThat(next(ArbiterRules.seal(state, seal(6, 20))).inFlight()).containsExactly(12L, 14L, 20L);
    }

    @Test
    void epochsInFlightAreBounded() {
        VmState state = in(Mode.PROTECTED);
        long epoch = 15;
        while (state.inFlight().size() < ArbiterRules.MAX_IN_FLIGHT) {
            state = next(ArbiterRules.seal(state, seal(6, epoch++)));
        }
        assertThat(resultOf(ArbiterRules.seal(state, seal(6, epoch)))).isEqualTo("BAD_EPOCH");
        VmState committed = next(ArbiterRules.commit(state, commit(6, 12), NOW));
        assertThat(resultOf(ArbiterRules.seal(committed, seal(6, epoch)))).isEqualTo("PROTECTED");
    }

    @Test
    void onlySealedEpochsAreCommittedAndOlderOnesGoWithThem() {
        VmState state = in(Mode.PROTECTED);
        assertThat(resultOf(ArbiterRules.commit(state, commit(6, 13), NOW))).isEqualTo("BAD_EPOCH");
        assertThat(resultOf(ArbiterRules.commit(state, commit(6, 15), NOW))).isEqualTo("BAD_EPOCH");
        assertThat(ArbiterRules.commit(state, commit(6, 9), NOW)).isInstanceOf(Decision.Repeated.class);
        VmState next = next(ArbiterRules.commit(state, commit(6, 14), NOW));
        assertThat(next.inFlight()).isEmpty();
        assertThat(ArbiterRules.commit(next, commit(6, 12), NOW)).isInstanceOf(Decision.Repeated.class);
    }

    @Test
    void anEarlierProtectionsEpochDoesNotProtect() {
        VmState syncing = in(Mode.SYNCING);
        assertThat(resultOf(ArbiterRules.commit(syncing, commit(6, 10), NOW))).isEqualTo("BAD_EPOCH");
    }

    @Test
    void hostileStringsAreRefused() {
        OpenRequest.Builder open = OpenRequest.newBuilder().setVm("vm1").setHost("hostA");
        assertThat(resultOf(ArbiterRules.open(
                        in(Mode.SOLO), open.clone().setHost("").build(), NOW)))
                .isEqualTo("BAD_REQUEST");
        assertThat(resultOf(ArbiterRules.open(
                        in(Mode.SOLO), open.clone().setHost("a\nb").build(), NOW)))
                .isEqualTo("BAD_REQUEST");
        assertThat(resultOf(ArbiterRules.open(
                        in(Mode.SOLO),
                        open.clone().addVolumes("d").addVolumes("d").build(),
                        NOW)))
                .isEqualTo("BAD_REQUEST");
        OpenRequest.Builder many = open.clone();
        for (int i = 0; i <= ArbiterRules.MAX_VOLUMES; i++) {
            many.addVolumes("d" + i);
        }
        assertThat(resultOf(ArbiterRules.open(in(Mode.SOLO), many.build(), NOW)))
                .isEqualTo("BAD_REQUEST");
        String reason = next(ArbiterRules.goSolo(
                        in(Mode.PROTECTED),
                        GoSoloRequest.newBuilder()
                                .setVm("vm1")
                                .setGeneration(6)
                                .setReason("x\n".repeat(10_000))
                                .build(),
                        NOW))
                .record()
                .getReason();
        assertThat(reason).doesNotContain("\n").hasSizeLessThan(ArbiterRules.MAX_REASON_CHARACTERS + 50);
    }

    /** Generation 6 (primary 4, standby 7 where there is one), opened by hostA; committed 10, sealed 12 and 14 in flight. */
    private static VmState in(Mode mode) {
        boolean guarded = mode == Mode.SYNCING || mode == Mode.PROTECTED;
        ArbiterRecord record = ArbiterRecord.newBuilder()
                .setVm("vm1")
                .setGeneration(6)
                .setMode(mode)
                .setPrimary(mode == Mode.CLOSED ? "" : "hostA")
                .setBackup(guarded ? "hostB" : "")
                .setCommittedEpoch(10)
                .setSealedEpoch(guarded ? 14 : 10)
                .setPrimaryGeneration(mode == Mode.CLOSED ? 0 : 4)
                .setStandbyGeneration(guarded ? 7 : 0)
                .build();
        return new VmState(record, guarded ? 7 : 6, guarded ? List.of(12L, 14L) : List.of(), false, ByteString.EMPTY);
    }

    private static Decision apply(String call, VmState state, long generation) {
        OpenRequest.Builder open = OpenRequest.newBuilder().setVm("vm1").addVolumes("disk");
        return switch (call) {
            case "Open" -> ArbiterRules.open(state, open.setHost("hostA").build(), NOW);
            case "OpenElse" -> ArbiterRules.open(state, open.setHost("hostC").build(), NOW);
            case "OpenFence" ->
                ArbiterRules.open(state, open.setHost("hostC").setFence(true).build(), NOW);
            case "BeginProtect" ->
                ArbiterRules.beginProtect(
                        state,
                        BeginProtectRequest.newBuilder()
                                .setVm("vm1")
                                .setGeneration(generation)
                                .setBackup("hostB")
                                .build(),
                        NOW);
            case "GoSolo" ->
                ArbiterRules.goSolo(
                        state,
                        GoSoloRequest.newBuilder()
                                .setVm("vm1")
                                .setGeneration(generation)
                                .build(),
                        NOW);
            case "TakeOver" -> ArbiterRules.takeOver(state, takeOver(generation, 1, 99), NOW);
            case "Close" ->
                ArbiterRules.close(
                        state,
                        CloseRequest.newBuilder()
                                .setVm("vm1")
                                .setGeneration(generation)
                                .build(),
                        NOW);
            case "ForceClose" -> ArbiterRules.force(state, force(generation, ForceRequest.Action.CLOSE), NOW);
            case "ForceSolo" -> ArbiterRules.force(state, force(generation, ForceRequest.Action.SOLO), NOW);
            case "Seal" -> ArbiterRules.seal(state, seal(generation, 15));
            case "Commit" -> ArbiterRules.commit(state, commit(generation, 12), NOW);
            default -> throw new IllegalArgumentException(call);
        };
    }

    private static ForceRequest force(long generation, ForceRequest.Action action) {
        return ForceRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setAction(action)
                .setHost("hostC")
                .setBy("alice@storage")
                .setReason("because")
                .build();
    }

    @Test
    void theHistoryHoldsTheLastChangesWithWhoWhenAndWhy() {
        VmState state = VmState.unknown("vm1");
        for (int i = 0; i < 100; i++) {
            state = next(ArbiterRules.open(
                    state,
                    OpenRequest.newBuilder()
                            .setVm("vm1")
                            .setHost("hostA")
                            .setReason("start " + i)
                            .build(),
                    NOW + i));
        }
        assertThat(state.history().getChangesCount()).isEqualTo(VmState.MAX_HISTORY);
        assertThat(state.history().getForgotten()).isEqualTo(100 - VmState.MAX_HISTORY);
        ArbiterChange last = state.history().getChanges(VmState.MAX_HISTORY - 1);
        assertThat(last.getReason()).isEqualTo("opened by hostA: start 99");
        assertThat(last.getBy()).isEqualTo("hostA");
        assertThat(last.getAtMillis()).isEqualTo(NOW + 99);
        assertThat(last.getGeneration()).isEqualTo(100);
    }

    @Test
    void aCommitIsNoChangeButTheFirstAndLostDataIsToldOnce() {
        VmState syncing = in(Mode.SYNCING);
        VmState first = next(ArbiterRules.commit(syncing, commit(6, 12), NOW));
        assertThat(first.history().getChangesList())
                .extracting(ArbiterChange::getMode)
                .containsExactly(Mode.PROTECTED);
        VmState second = next(ArbiterRules.commit(first, commit(6, 14), NOW));
        assertThat(second.history()).isSameAs(first.history());
        VmState lost = second.withDataLost(NOW + 1);
        assertThat(lost.history().getChangesList()).hasSize(2);
        assertThat(lost.history().getChanges(1).getReason()).contains("epoch 14 stands");
        assertThat(lost.withDataLost(NOW + 2)).isSameAs(lost);
    }

    @Test
    void aRefusalTellsBothGenerationsAndTheWayOut() {
        assertThat(message(apply("GoSolo", in(Mode.PROTECTED), 5)))
                .contains("generation 5 is fenced", "the current one is 6", "stop this VM here");
        assertThat(message(apply("OpenElse", in(Mode.SOLO), 0))).contains("held by hostA", "generation 6", "fence");
        assertThat(message(apply("TakeOver", in(Mode.SYNCING), 6))).contains("SYNCING (generation 6)", "ask again");
        assertThat(message(apply("ForceClose", in(Mode.SOLO), 5)))
                .contains("generation 5", "the current one is 6", "look at it again");
    }

    private static String message(Decision decision) {
        return decision instanceof Decision.Refused refused ? refused.refusal().getMessage() : "not refused";
    }

    private static TakeOverRequest takeOver(long generation, long oldest, long newest) {
        return TakeOverRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setHost("hostB")
                .setOldestEpoch(oldest)
                .setNewestEpoch(newest)
                .build();
    }

    private static SealRequest seal(long generation, long epoch) {
        return SealRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
    }

    private static CommitRequest commit(long generation, long epoch) {
        return CommitRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
    }

    private static List<Long> numbers(ArbiterRecord record) {
        return List.of(record.getGeneration(), record.getPrimaryGeneration(), record.getStandbyGeneration());
    }

    private static VmState next(Decision decision) {
        return switch (decision) {
            case Decision.Accepted(VmState next) -> next;
            case Decision.Repeated repeated -> throw new AssertionError("repeated: " + repeated);
            case Decision.Refused refused -> throw new AssertionError("refused: " + refused);
        };
    }

    private static String resultOf(Decision decision) {
        return switch (decision) {
            case Decision.Accepted(VmState next) -> next.mode().name();
            case Decision.Repeated(VmState state) -> "repeated " + state.mode();
            case Decision.Refused refused -> {
                assertThat(refused.refusal().getMessage()).isNotBlank().doesNotContain("\n");
                assertThat(refused.refusal().getCode()).isNotEqualTo(Code.CODE_UNSPECIFIED);
                yield refused.refusal().getCode().name();
            }
        };
    }
}
