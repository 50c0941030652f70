package io.vmft.engine.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.engine.simulation.SimulatedCluster.Fault;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Run one seed again with {@code -Dvmft.simulation.seed=N}. */
class ProtocolSimulationTest {
    private static final int SCHEDULES = Integer.getInteger("vmft.simulation.schedules", 10_000);

    @Test
    void noScheduleBreaksThePromise() {
        Long only = Long.getLong("vmft.simulation.seed");
        Map<String, Integer> outcomes = new HashMap<>();
        for (long seed = only == null ? 0 : only; seed < (only == null ? SCHEDULES : only + 1); seed++) {
            SimulatedCluster cluster = new SimulatedCluster(seed, Fault.NONE);
            assertThat(cluster.run()).as("seed %d", seed).isEmpty();
            outcomes.merge(String.valueOf(cluster.outcome()), 1, Integer::sum);
        }
        if (only == null) {
            assertThat(outcomes.getOrDefault("took over", 0)).isGreaterThan(SCHEDULES / 3);
            assertThat(outcomes.getOrDefault("solo", 0)).isGreaterThan(SCHEDULES / 50);
        }
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void everyKnownMistakeIsFound(Fault fault) {
        long seed = 0;
        while (new SimulatedCluster(seed, fault).run().isEmpty()) {
            seed++;
            assertThat(seed).as("schedules tried without finding %s", fault).isLessThan(1000);
        }
    }
}
