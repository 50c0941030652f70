package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class CallPaceTest {
    private final CallPace pace = CallPace.ofImage();

    private void slow() {
        pace.took(10_000_000, 4096);
    }

    private void fast(int times) {
        for (int i = 0; i < times; i++) {
            pace.took(10_000, 4096);
        }
    }

    @Test
    void slowCallsCloseTogetherSendTheNextOnesAwayUntilEnoughWereFast() {
        assertThat(pace.isFast()).isTrue();
        slow();
        slow();
        slow();
        assertThat(pace.isFast()).isFalse();
        for (int i = 0; i < 100; i++) {
            slow();
        }
        fast(63);
        assertThat(pace.isFast()).isFalse();
        fast(1);
        assertThat(pace.isFast()).isTrue();
    }

    @Test
    void nowAndThenASlowCallChangesNothing() {
        for (int i = 0; i < 1000; i++) {
            slow();
            fast(16);
            assertThat(pace.isFast()).isTrue();
        }
    }

    @Test
    void aLongCopyIsNotSlow() {
        for (int i = 0; i < 10; i++) {
            pace.took(1_200_000, 1 << 20);
        }
        assertThat(pace.isFast()).isTrue();
        for (int i = 0; i < 10; i++) {
            pace.took(1_200_000, 4096);
        }
        assertThat(pace.isFast()).isFalse();
    }

    @Test
    void anAppendGoesElsewhereLater() {
        CallPace appends = CallPace.ofJournal();
        for (int i = 0; i < 10; i++) {
            appends.took(1_200_000, 4096);
        }
        assertThat(appends.isFast()).isTrue();
        for (int i = 0; i < 10; i++) {
            appends.took(2_000_000, 4096);
        }
        assertThat(appends.isFast()).isFalse();
    }
}
