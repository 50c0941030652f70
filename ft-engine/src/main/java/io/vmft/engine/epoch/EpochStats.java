package io.vmft.engine.epoch;

import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.ArrayDeque;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/** What checkpoints cost since this engine runs the VM: each phase as a histogram, and the last epochs one by one. On the engine's loop only. */
public final class EpochStats {
    /** Epochs kept one by one: at 25 ms those of the last 50 s. */
    public static final int KEPT = 2000;

    private static final long LONGEST_NANOS = TimeUnit.MINUTES.toNanos(10);

    /** One percent. */
    private static final int DIGITS = 2;

    /**
     * A phase at a glance.
     *
     * @param maxMillis the longest there was
     */
    public record Summary(
            @JsonProperty("ms_p50") double p50Millis,
            @JsonProperty("ms_p99") double p99Millis,
            @JsonProperty("ms_max") double maxMillis) {}

    private final Map<Phase, Histogram> phases = new EnumMap<>(Phase.class);
    private final ArrayDeque<EpochTimes> last = new ArrayDeque<>(KEPT);
    private long committed;
    private long voided;
    private long dirtyPagesLast;
    private long throttledNanos;

    public EpochStats() {
        for (Phase phase : Phase.values()) {
            phases.put(phase, new Histogram(1, LONGEST_NANOS, DIGITS));
        }
    }

    void pause(PauseTimes times) {
        dirtyPagesLast = times.dirtyPages();
        throttledNanos += Math.max(0, Phase.LATE.nanos(times)) + Phase.ROOM.nanos(times);
        for (Phase phase : Phase.values()) {
            if (phase.isOfPause()) {
                record(phase, phase.nanos(times));
            }
        }
    }

    void epoch(EpochTimes times) {
        for (Phase phase : Phase.values()) {
            if (!phase.isOfPause()) {
                record(phase, phase.nanos(times));
            }
        }
        if (last.size() == KEPT) {
            last.removeFirst();
        }
        last.addLast(times);
    }

    private void record(Phase phase, long nanos) {
        histogram(phase).recordValue(Math.clamp(nanos, 0, LONGEST_NANOS));
    }

    public void committed(long epochs) {
        committed += epochs;
    }

    public void voided() {
        voided++;
    }

    public long epochs() {
        return committed;
    }

    public long voidCheckpoints() {
        return voided;
    }

    /** How long, in all, epochs were lengthened and the guest stood still because the backup or the block server was slow. */
    public double throttledMillis() {
        return throttledNanos / 1e6;
    }

    public long dirtyPagesLast() {
        return dirtyPagesLast;
    }

    /** Of the last {@value #KEPT} epochs, those after {@code epoch}; oldest first. */
    public List<EpochTimes> after(long epoch) {
        return last.stream().filter(each -> each.pause().epoch() > epoch).toList();
    }

    /** Every phase by its name; all zero before the first epoch. */
    public Map<String, Summary> summaries() {
        Map<String, Summary> summaries = new LinkedHashMap<>();
        for (Phase phase : Phase.values()) {
            Histogram histogram = histogram(phase);
            summaries.put(
                    phase.toString(), new Summary(millis(phase, 50), millis(phase, 99), histogram.getMaxValue() / 1e6));
        }
        return summaries;
    }

    /** A percentile of a phase in milliseconds, 0 before the first. */
    public double millis(Phase phase, double percentile) {
        Histogram histogram = histogram(phase);
        return histogram.getTotalCount() == 0 ? 0 : histogram.getValueAtPercentile(percentile) / 1e6;
    }

    private Histogram histogram(Phase phase) {
        return java.util.Objects.requireNonNull(phases.get(phase));
    }
}
