package io.vmft.bench;

import com.fasterxml.jackson.annotation.JsonIgnore;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleBinaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * One figure of a benchmark, over its rounds.
 *
 * @param name where it was measured and what it is, as {@code unix/randread-4k-qd32/blk-server÷nbdkit}
 * @param target null: a figure for the reader, always met
 */
public record Result(
        String name,
        String unit,
        double median,
        double min,
        double max,
        int rounds,
        @Nullable Double target,
        boolean met,
        @JsonIgnore Direction direction) {

    /** Which side of the target is good. */
    public enum Direction {
        HIGHER_IS_BETTER("at least"),
        LOWER_IS_BETTER("at most");

        private final String words;

        Direction(String words) {
            this.words = words;
        }

        @Override
        public String toString() {
            return words;
        }
    }

    /** A figure without a target. */
    public static Result of(String name, String unit, List<Double> rounds) {
        double median = median(rounds);
        return new Result(
                name,
                unit,
                median,
                extreme(rounds, Math::min),
                extreme(rounds, Math::max),
                rounds.size(),
                null,
                true,
                Direction.HIGHER_IS_BETTER);
    }

    /** The same figure, whose median has to reach a target. */
    public Result withTarget(Direction which, double goal) {
        boolean reached = switch (which) {
            case HIGHER_IS_BETTER -> median >= goal;
            case LOWER_IS_BETTER -> median <= goal;
        };
        return new Result(name, unit, median, min, max, rounds, goal, reached, which);
    }

    /**
     * A ratio of medians; its extremes are those of the rounds' own ratios.
     *
     * @param numerators and denominators as measured in the same rounds
     */
    public static Result ratio(String name, List<Double> numerators, List<Double> denominators) {
        double[] ratios = new double[Math.min(numerators.size(), denominators.size())];
        Arrays.setAll(ratios, i -> numerators.get(i) / denominators.get(i));
        return new Result(
                name,
                "ratio",
                median(numerators) / median(denominators),
                Arrays.stream(ratios).min().orElse(Double.NaN),
                Arrays.stream(ratios).max().orElse(Double.NaN),
                ratios.length,
                null,
                true,
                Direction.HIGHER_IS_BETTER);
    }

    private static double median(List<Double> values) {
        double[] sorted =
                values.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    private static double extreme(List<Double> values, DoubleBinaryOperator which) {
        return values.stream().mapToDouble(Double::doubleValue).reduce(which).orElse(Double.NaN);
    }

    /** What is not met, for people; empty if it is. */
    String miss() {
        return met ? "" : "%s: %.3g %s, should be %s %.3g".formatted(name, median, unit, direction, target);
    }
}
