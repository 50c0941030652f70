package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

class PreCopiesTest {
    private final PreCopies preCopies = new PreCopies();

    @Test
    void itGoesOnAsLongAsThePauseHasLittleLeft() {
        for (int epoch = 0; epoch < 100; epoch++) {
            preCopies.harvested(true, 324, 76);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    @Test
    void aGuestThatWritesItAllAgainIsSpared() {
        writesItAllAgain(PreCopies.EPOCHS_TO_TELL);
        for (int epoch = 0; epoch < PreCopies.EPOCHS_WITHOUT; epoch++) {
            assertThat(preCopies.isWorthIt()).isFalse();
            preCopies.harvested(false, 0, 4000);
        }
        assertThat(preCopies.isWorthIt()).isTrue();
        preCopies.harvested(true, 4000, 300);
        assertThat(preCopies.isWorthIt()).isTrue();
    }

    @Test
    void fewPagesAgainAreNoReason() {
        for (int epoch = 0; epoch < 100; epoch++) {
            preCopies.harvested(true, 10, 60);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    @Test
    void aGuestThatWritesFewPagesHasThemCopiedInThePause() {
        for (int epoch = 0; epoch < PreCopies.EPOCHS_TO_TELL; epoch++) {
            assertThat(preCopies.isWorthIt()).isTrue();
            preCopies.harvested(true, 10, 20);
        }
        for (int epoch = 0; epoch < 1000; epoch++) {
            assertThat(preCopies.isWorthIt()).isFalse();
            preCopies.harvested(false, 0, PreCopies.FEW_PAGES - 1);
        }
        preCopies.harvested(false, 0, PreCopies.FEW_PAGES);
        assertThat(preCopies.isWorthIt()).isTrue();
    }

    @Test
    void epochsWithoutAPreCopySayNothingOfIts() {
        for (int epoch = 0; epoch < 100; epoch++) {
            preCopies.harvested(false, 0, 4000);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    @Test
    void anEpochWithMorePagesStartsTheCountAnew() {
        for (int i = 0; i < 10; i++) {
            for (int epoch = 1; epoch < PreCopies.EPOCHS_TO_TELL; epoch++) {
                preCopies.harvested(true, 10, 20);
            }
            preCopies.harvested(true, 200, 20);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    @Test
    void anEpochNowAndThenIsNoReason() {
        for (int i = 0; i < 10; i++) {
            writesItAllAgain(PreCopies.EPOCHS_TO_TELL - 1);
            preCopies.harvested(true, 324, 76);
            assertThat(preCopies.isWorthIt()).isTrue();
        }
    }

    private void writesItAllAgain(int epochs) {
        for (int epoch = 0; epoch < epochs; epoch++) {
            assertThat(preCopies.isWorthIt()).isTrue();
            preCopies.harvested(true, 4000, 3000);
        }
    }
}
