package io.vmft.bench.checkpoint;

import java.util.List;

/** Percentiles of a list, the value at or above which that share lies. */
final class Percentile {
    private Percentile() {}

    static double of(List<Long> values, double percent) {
        if (values.isEmpty()) {
            throw new IllegalArgumentException("nothing was measured");
        }
        List<Long> sorted = values.stream().sorted().toList();
        int index = (int) Math.ceil(percent / 100 * sorted.size()) - 1;
        return sorted.get(Math.clamp(index, 0, sorted.size() - 1));
    }

    static double millis(List<Long> nanos, double percent) {
        return of(nanos, percent) / 1e6;
    }
}
