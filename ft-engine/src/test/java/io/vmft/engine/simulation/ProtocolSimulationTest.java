package io.vmft.engine.simulation;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.engine.simulation.SimulatedCluster.Event;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * {@code -Dvmft.simulation.schedules=N} runs more, {@code -Dvmft.simulation.seed=S} others; with {@code schedules=1} the same one
 * again.
 */
class ProtocolSimulationTest {
    private static final long SCHEDULES = Long.getLong("vmft.simulation.schedules", 10_000);
    private static final long FIRST_SEED = Long.getLong("vmft.simulation.seed", 0);

    @Test
    void noScheduleBreaksThePromise() {
        Map<Event, Integer> seen = new EnumMap<>(Event.class);
        for (long seed = FIRST_SEED; seed < FIRST_SEED + SCHEDULES; seed++) {
            SimulatedCluster cluster = new SimulatedCluster(seed, Mistake.NONE);
            assertThat(violations(cluster)).as("seed %d", seed).isEmpty();
            cluster.events().forEach(event -> seen.merge(event, 1, Integer::sum));
        }
        if (SCHEDULES >= 1000) {
            assertThat(seen.getOrDefault(Event.TOOK_OVER, 0)).as("%s", seen).isGreaterThan((int) (SCHEDULES / 4));
            assertThat(seen.getOrDefault(Event.TOOK_OVER_TWICE, 0))
                    .as("%s", seen)
                    .isGreaterThan((int) (SCHEDULES / 50));
            assertThat(seen.getOrDefault(Event.LOST_POWER, 0)).as("%s", seen).isGreaterThan((int) (SCHEDULES / 5));
        }
    }

    @Test
    void theSameSeedIsTheSameRun() {
        for (long seed = 0; seed < 50; seed++) {
            SimulatedCluster some = new SimulatedCluster(seed, Mistake.RELEASE_BEFORE_COMMIT);
            SimulatedCluster same = new SimulatedCluster(seed, Mistake.RELEASE_BEFORE_COMMIT);
            assertThat(violations(some)).isEqualTo(violations(same));
            assertThat(some.outside().lastNewsAt()).isEqualTo(same.outside().lastNewsAt());
        }
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void everyKnownMistakeIsFound(Mistake mistake) {
        long seed = 0;
        while (violations(new SimulatedCluster(seed, mistake)).isEmpty()) {
            seed++;
            assertThat(seed).as("schedules tried without finding %s", mistake).isLessThan(3000);
        }
    }

    /** A state machine that refuses an event counts as well. */
    private static List<String> violations(SimulatedCluster cluster) {
        try {
            return cluster.run();
        } catch (RuntimeException e) {
            return List.of(String.valueOf(e));
        }
    }
}
