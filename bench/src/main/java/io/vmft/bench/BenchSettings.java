package io.vmft.bench;

import java.nio.file.Path;

/**
 * What the user may choose.
 *
 * @param rounds how often everything is measured, peers in turn within each round
 * @param seconds how long one measurement takes
 * @param folder on the file system to measure
 */
public record BenchSettings(int rounds, int seconds, Path folder) {
    public BenchSettings {
        if (rounds < 1 || seconds < 1) {
            throw new IllegalArgumentException("rounds and seconds are at least 1");
        }
    }
}
