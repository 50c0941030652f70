package io.vmft.engine.epoch;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.kvm.Harvest;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;

class EpochTimerTest {
    private static final long MS = 1_000_000;

    private final EpochStats stats = new EpochStats();
    private final EpochTimer timer = new EpochTimer(stats);

    /** A pause that lasts from 101 to 108 ms after {@code start}. */
    private static Harvest harvest(long epoch, boolean valid, long start) {
        return new Harvest(
                epoch, valid, 42, 40, start + 102 * MS, start + 104 * MS, start + 105 * MS, start + 106 * MS, MS / 4);
    }

    private void pause(long epoch, long start) {
        timer.triggered(epoch, start + 97 * MS, start + 98 * MS, start + 100 * MS);
        timer.harvested(harvest(epoch, true, start));
        timer.resumed(start + 101 * MS, start + 108 * MS);
    }

    @Test
    void thePhasesOfAnEpochAreTheTimesBetweenItsMoments() {
        pause(7, 0);
        timer.sealed(7, 109 * MS);
        timer.sent(7, 110 * MS);
        timer.completed(7, 113 * MS);
        timer.committed(7, 117 * MS);
        timer.released(7, 122 * MS);

        EpochTimes times = stats.after(0).getFirst();
        assertThat(times.pause().epoch()).isEqualTo(7);
        assertThat(Phase.PAUSE.nanos(times)).isEqualTo(7 * MS);
        assertThat(Phase.PRECOPY.nanos(times)).isEqualTo(2 * MS);
        assertThat(Phase.TRIGGER.nanos(times)).isEqualTo(MS);
        assertThat(Phase.STATE.nanos(times)).isEqualTo(2 * MS);
        assertThat(Phase.COPY.nanos(times)).isEqualTo(MS - MS / 4);
        assertThat(Phase.ROOM.nanos(times)).isEqualTo(MS / 4);
        assertThat(List.of(Phase.SEAL, Phase.SEND, Phase.COMPLETE, Phase.COMMIT, Phase.RELEASE))
                .extracting(phase -> phase.nanos(times))
                .containsExactly(3 * MS, MS, 3 * MS, 4 * MS, 5 * MS);
        long whole = 0;
        for (Phase phase : Phase.values()) {
            if (phase.isOfPause() && phase != Phase.PAUSE) {
                whole += phase.nanos(times);
            }
        }
        assertThat(whole).as("the phases leave no time out").isEqualTo(11 * MS);
        assertThat(stats.throttledMillis()).isEqualTo(1.25);
        assertThat(stats.dirtyPagesLast()).isEqualTo(42);
        assertThat(Objects.requireNonNull(stats.summaries().get("pause")).maxMillis())
                .isBetween(6.9, 7.1);
    }

    @Test
    void aCommitAndAReleaseCountForEveryEpochBefore() {
        pause(7, 0);
        pause(8, 1000 * MS);
        timer.sent(7, 110 * MS);
        timer.completed(7, 113 * MS);
        timer.sent(8, 1110 * MS);
        timer.completed(8, 1113 * MS);
        timer.committed(8, 1115 * MS);
        timer.released(8, 1116 * MS);
        assertThat(stats.after(0)).extracting(each -> each.pause().epoch()).containsExactly(7L, 8L);
        assertThat(stats.after(0)).extracting(EpochTimes::committedNanos).containsOnly(1115 * MS);
        assertThat(stats.after(7)).hasSize(1);
    }

    @Test
    void theEventMayComeBeforeTheHarvest() {
        timer.triggered(7, 97 * MS, 98 * MS, 100 * MS);
        timer.resumed(101 * MS, 108 * MS);
        assertThat(stats.millis(Phase.PAUSE, 50)).isZero();
        timer.harvested(harvest(7, true, 0));
        assertThat(stats.millis(Phase.PAUSE, 50)).isBetween(6.9, 7.1);
    }

    @Test
    void aVoidPauseCountsAsAPauseAndNotAsAnEpoch() {
        timer.triggered(7, 97 * MS, 98 * MS, 100 * MS);
        timer.harvested(harvest(7, false, 0));
        timer.resumed(101 * MS, 108 * MS);
        pause(8, 1000 * MS);
        timer.released(8, 2000 * MS);
        assertThat(stats.millis(Phase.PAUSE, 0)).isBetween(6.9, 7.1);
        assertThat(stats.after(0)).extracting(each -> each.pause().epoch()).containsExactly(8L);
    }

    @Test
    void aCheckpointWithoutASealCountsAsAPauseAndNotAsAnEpoch() {
        pause(7, 0);
        timer.voided(7);
        pause(8, 1000 * MS);
        // QEMU's event may come later.
        timer.triggered(9, 2097 * MS, 2098 * MS, 2100 * MS);
        timer.harvested(harvest(9, true, 2000 * MS));
        timer.voided(9);
        timer.resumed(2101 * MS, 2108 * MS);
        timer.released(9, 3000 * MS);
        assertThat(stats.after(0)).extracting(each -> each.pause().epoch()).containsExactly(8L);
        assertThat(stats.millis(Phase.PAUSE, 0)).isBetween(6.9, 7.1);
    }

    @Test
    void aCheckpointOfAStoppedGuestHasNoPause() {
        timer.triggered(7, 97 * MS, 98 * MS, 100 * MS);
        timer.harvested(harvest(7, true, 0));
        timer.committed(7, 120 * MS);
        timer.released(7, 121 * MS);
        timer.resumed(0, 5000 * MS);
        timer.triggered(8, 6000 * MS, 6000 * MS, 6000 * MS);
        timer.triggered(9, 6100 * MS, 6100 * MS, 6100 * MS);
        assertThat(stats.after(0)).isEmpty();
        assertThat(stats.millis(Phase.PAUSE, 100)).isZero();
    }

    @Test
    void onlyTheLastEpochsAreKept() {
        for (long epoch = 1; epoch <= EpochStats.KEPT + 10; epoch++) {
            pause(epoch, epoch * 1000 * MS);
            timer.released(epoch, epoch * 1000 * MS + 200 * MS);
        }
        assertThat(stats.after(0)).hasSize(EpochStats.KEPT);
        assertThat(stats.after(0).getFirst().pause().epoch()).isEqualTo(11);
    }
}
