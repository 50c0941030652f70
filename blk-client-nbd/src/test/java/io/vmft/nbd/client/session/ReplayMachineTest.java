package io.vmft.nbd.client.session;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.nbd.client.session.ReplaySimulation.Mistake;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;

class ReplayMachineTest {
    @Property(tries = 3000)
    void anApplicationSeesAPauseAndNothingElse(@ForAll long seed) {
        new ReplaySimulation(seed, Mistake.NONE).run();
    }

    @Test
    void theSimulationHasLossesReplaysAndGivesUp() {
        int answered = 0;
        int gaveUp = 0;
        int links = 0;
        for (long seed = 0; seed < 200; seed++) {
            ReplaySimulation simulation = new ReplaySimulation(seed, Mistake.NONE);
            simulation.run();
            answered += simulation.answered;
            gaveUp += simulation.gaveUp;
            links += simulation.links;
        }
        assertThat(answered).isGreaterThan(10_000);
        assertThat(gaveUp).isPositive();
        assertThat(links).isGreaterThan(1000);
    }

    @Test
    void mistakesAreFound() {
        assertThat(firstFailure(Mistake.NO_FENCE)).isNotNegative();
        assertThat(firstFailure(Mistake.NO_ORDER)).isNotNegative();
    }

    private static long firstFailure(Mistake mistake) {
        for (long seed = 0; seed < 3000; seed++) {
            try {
                new ReplaySimulation(seed, mistake).run();
            } catch (AssertionError e) {
                if (String.valueOf(e.getMessage()).startsWith("block ")) {
                    return seed;
                }
                throw e;
            }
        }
        return -1;
    }
}
