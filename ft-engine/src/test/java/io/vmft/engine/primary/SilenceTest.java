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
        silence.asked(nowNanos);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND.multipliedBy(2));
        silence.answered();
        assertThat(lookAfter(SECOND, false)).isZero();
    }

    @Test
    void itBeginsWithTheCommandAndNotWithTheLookBefore() {
        nowNanos += SECOND.toNanos();
        silence.asked(nowNanos);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void aSignOfLifeBeginsItAnew() {
        silence.asked(nowNanos);
        lookAfter(SECOND, false);
        nowNanos += SECOND.toNanos();
        silence.heard(nowNanos);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void eachCommandHasItsOwn() {
        silence.asked(nowNanos);
        lookAfter(SECOND, false);
        silence.answered();
        silence.asked(nowNanos);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void whatIsMissingElsewhereBeginsItAnewAfterAsLongAgain() {
        silence.asked(nowNanos);
        lookAfter(SECOND, false);
        assertThat(lookAfter(SECOND, true)).isZero();
        assertThat(lookAfter(SECOND, true)).isZero();
        assertThat(lookAfter(SECOND, false)).isZero();
        assertThat(lookAfter(SECOND, false)).isZero();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void whatWasMissingBeforeTheCommandCountsUntilAnAnswer() {
        lookAfter(SECOND, true);
        silence.asked(nowNanos);
        assertThat(lookAfter(SECOND, false)).isZero();
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
        silence.answered();
        silence.asked(nowNanos);
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void aLongOutageExcusesNoLongerThanTcpWaits() {
        for (int i = 0; i < 1000; i++) {
            lookAfter(SECOND, true);
        }
        silence.asked(nowNanos);
        for (long i = 0; i < Silence.MAX_CREDIT.toSeconds(); i++) {
            assertThat(lookAfter(SECOND, false)).isZero();
        }
        assertThat(lookAfter(SECOND, false)).isEqualTo(SECOND);
    }

    @Test
    void anEngineThatStoodStillItselfCountsLittleOfThat() {
        silence.asked(nowNanos);
        assertThat(lookAfter(Duration.ofHours(1), false)).isEqualTo(Silence.MAX_STEP);
    }
}
