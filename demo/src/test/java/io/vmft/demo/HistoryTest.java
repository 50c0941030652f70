package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class HistoryTest {
    private static final Duration WITHIN = Duration.ofSeconds(1);

    @Test
    void theBlackoutIsTheGapThatHoldsTheEvent() {
        History history = answersAtMillis(0, 10, 20, 260, 270);

        assertThat(history.blackout(millis(25), WITHIN)).isEqualTo(Duration.ofMillis(240));
    }

    @Test
    void aLongerGapSoonAfterCountsToo() {
        History history = answersAtMillis(0, 10, 30, 40, 400, 410);

        assertThat(history.blackout(millis(15), WITHIN)).isEqualTo(Duration.ofMillis(360));
    }

    @Test
    void gapsBeforeTheEventAndLongAfterItDoNotCount() {
        History history = answersAtMillis(0, 900, 910, 950, 2000, 5000);

        assertThat(history.blackout(millis(920), Duration.ofMillis(100))).isEqualTo(Duration.ofMillis(1050));
        assertThat(history.blackout(millis(905), Duration.ofMillis(20))).isEqualTo(Duration.ofMillis(40));
    }

    @Test
    void withoutAnAnswerSinceThereIsNone() {
        assertThat(answersAtMillis(0, 10).blackout(millis(20), WITHIN)).isEqualTo(Duration.ZERO);
        assertThat(new History().blackout(0, WITHIN)).isEqualTo(Duration.ZERO);
    }

    @Test
    void theClockMayWrapAround() {
        long start = Long.MAX_VALUE - millis(15);
        History history = new History();
        for (int i = 0; i < 4; i++) {
            history.add(new History.Entry(i + 1, "", start + millis(10) * i));
        }

        assertThat(history.blackout(start + millis(12), WITHIN)).isEqualTo(Duration.ofMillis(10));
    }

    private static History answersAtMillis(long... times) {
        History history = new History();
        for (long time : times) {
            history.add(new History.Entry(history.size() + 1, "", millis(time)));
        }
        return history;
    }

    private static long millis(long millis) {
        return Duration.ofMillis(millis).toNanos();
    }
}
