package io.vmft.bench;

import java.nio.file.Path;
import java.util.regex.Pattern;

/**
 * What the user may choose.
 *
 * @param rounds how often everything is measured, peers in turn within each round
 * @param seconds how long one measurement takes
 * @param minutes how long a run over a long time takes
 * @param folder on the file system to measure
 * @param only measure that of which the name has such a part
 */
public record BenchSettings(int rounds, int seconds, int minutes, Path folder, Pattern only) {
    public BenchSettings {
        if (rounds < 1 || seconds < 1 || minutes < 1) {
            throw new IllegalArgumentException("rounds, seconds and minutes are at least 1");
        }
    }

    /** Whether the user wants what has this name. */
    public boolean wants(String name) {
        return only.matcher(name).find();
    }
}
