package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

final class PaceTest {
    private long nowNanos = 1000;

    @Test
    void bytesTakeTheTimeThatTheRateGivesThem() {
        Pace pace = new Pace(100 << 20, () -> nowNanos);
        long began = nowNanos;
        for (int i = 0; i < 1000; i++) {
            nowNanos += pace.waitNanos(1 << 20);
        }
        // The last of them goes when all before it had their time.
        assertThat(nowNanos - began).isBetween(9_980_000_000L, 10_000_000_000L);
    }

    @Test
    void aWhileOfSilenceIsNotMadeUpForAtOnce() {
        Pace pace = new Pace(100 << 20, () -> nowNanos);
        nowNanos += 60_000_000_000L;
        long began = nowNanos;
        for (int i = 0; i < 100; i++) {
            nowNanos += pace.waitNanos(1 << 20);
        }
        assertThat(nowNanos - began).isGreaterThan(960_000_000L);
    }

    @Test
    void withoutARateNothingWaits() {
        Pace pace = new Pace(0, () -> nowNanos);
        assertThat(pace.waitNanos(1L << 40)).isZero();
        assertThat(pace.waitNanos(1L << 40)).isZero();
    }
}
