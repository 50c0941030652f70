package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class SilenceTest {
    private static final Duration SECOND = Duration.ofSeconds(1);

    private final Silence silence = new Silence();
    private long nowNanos = 77;

    SilenceTest() {
        silence.look(nowNanos, false);
    }

    private Duration lookAfter(Duration time, boolean excused) {
        nowNanos += time.toNanos();
        return silence.look(nowNanos, excused);
    }

    @Test
    void aQemuThatOwesNothingIsNotSilent() {
        assertThat(lookAfter(SECOND, false)).isZero();
        assertThat(lookAfter(SECOND, false)).isZero();
    }

    @Test
    void silenceGrowsUntilTheAnswer() {
        silence.asked();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND.multipliedBy(2));
        silence.answered();
        assertThat(lookAfter(SECOND, false)).isZero();
    }

    @Test
    void aSignOfLifeBeginsItAnew() {
        silence.asked();
        lookAfter(SECOND, false);
        silence.heard();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void eachCommandHasItsOwn() {
        silence.asked();
        lookAfter(SECOND, false);
        silence.answered();
        silence.asked();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void whatIsMissingElsewhereBeginsItAnew() {
        silence.asked();
        lookAfter(SECOND, false);
        assertThat(lookAfter(SECOND, true)).isZero();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void anEngineThatStoodStillItselfCountsLittleOfThat() {
        silence.asked();
        assertThat(lookAfter(Duration.ofHours(1), false)).isEqualTo(Silence.MAX_STEP);
    }
}
