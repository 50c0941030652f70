package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PreCopiesTest {
    private final PreCopies preCopies = new PreCopies();

    @Test
    void itGoesOnAsLongAsThePauseHasLittleLeft() {
        for (int epoch = 0; epoch < 100; epoch++) {
            preCopies.harvested(324, 76);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    @Test
    void aGuestThatWritesItAllAgainIsSpared() {
        preCopies.harvested(4000, 3000);
        for (int epoch = 0; epoch < PreCopies.EPOCHS_WITHOUT; epoch++) {
            assertThat(preCopies.isWorthIt()).isFalse();
            preCopies.harvested(0, 4000);
        }
        assertThat(preCopies.isWorthIt()).isTrue();
        preCopies.harvested(4000, 300);
        assertThat(preCopies.isWorthIt()).isTrue();
    }

    @Test
    void fewPagesAreNoReason() {
        preCopies.harvested(10, 60);
        assertThat(preCopies.isWorthIt()).isTrue();
    }
}
