package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class CallPaceTest {
    private final CallPace pace = new CallPace();

    @Test
    void aSlowCallSendsTheNextOnesAwayUntilEnoughWereFast() {
        assertThat(pace.isFast()).isTrue();
        pace.took(10_000_000, 4096);
        for (int i = 0; i < 64; i++) {
            assertThat(pace.isFast()).isFalse();
            pace.took(10_000, 4096);
        }
        assertThat(pace.isFast()).isTrue();
    }

    @Test
    void aLongCopyIsNotSlow() {
        pace.took(1_200_000, 1 << 20);
        assertThat(pace.isFast()).isTrue();
        pace.took(1_200_000, 4096);
        assertThat(pace.isFast()).isFalse();
    }
}
