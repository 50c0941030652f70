package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.engine.config.Copying.Compression;
import java.time.Duration;
import org.junit.jupiter.api.Test;

final class LinkPressureTest {
    private static final long SLOW = Duration.ofMillis(20).toNanos();
    private static final long FAST = Duration.ofMillis(1).toNanos();

    private static final double LITTLE = 100 << 20;

    private final LinkPressure pressure = new LinkPressure(Compression.AUTO, Duration.ofMillis(25));

    @Test
    void compressesWhenTheLinkIsSlowSeveralTimesInARow() {
        sent(SLOW, 2);
        sent(FAST, 1);
        sent(SLOW, 2);
        assertThat(pressure.compressing()).isFalse();
        sent(SLOW, 1);
        assertThat(pressure.compressing()).isTrue();
    }

    @Test
    void savesTheEffortWhenTheLinkHasBeenFastForLong() {
        sent(SLOW, 3);
        sent(FAST, 63);
        assertThat(pressure.compressing()).isTrue();
        sent(SLOW / 4, 1);
        sent(FAST, 63);
        assertThat(pressure.compressing()).isTrue();
        sent(FAST, 1);
        assertThat(pressure.compressing()).isFalse();
    }

    @Test
    void goesBackLessOftenIfThatWasTooEarly() {
        sent(SLOW, 3);
        sent(FAST, 64);
        sent(SLOW, 3);
        sent(FAST, 64);
        assertThat(pressure.compressing()).isTrue();
        sent(FAST, 64);
        assertThat(pressure.compressing()).isFalse();
    }

    @Test
    void aLinkThatCarriesMoreThanIsCompressedInTheSameTimeIsNotHelpedByIt() {
        for (int i = 0; i < 100; i++) {
            pressure.sent(SLOW, LinkPressure.FAST_BYTES_PER_SECOND);
        }
        assertThat(pressure.compressing()).isFalse();
    }

    @Test
    void doesAsItIsTold() {
        LinkPressure always = new LinkPressure(Compression.ALWAYS, Duration.ofMillis(25));
        LinkPressure never = new LinkPressure(Compression.NEVER, Duration.ofMillis(25));
        for (int i = 0; i < 10_000; i++) {
            always.sent(FAST, LITTLE);
            never.sent(SLOW, LITTLE);
        }
        assertThat(always.compressing()).isTrue();
        assertThat(never.compressing()).isFalse();
    }

    private void sent(long nanos, int times) {
        for (int i = 0; i < times; i++) {
            pressure.sent(nanos, LITTLE);
        }
    }
}
