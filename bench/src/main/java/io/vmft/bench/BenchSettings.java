package io.vmft.bench;

import java.nio.file.Path;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * What the user may choose.
 *
 * @param rounds how often everything is measured, peers in turn within each round
 * @param seconds how long one measurement takes
 * @param warmUpSeconds how many seconds a protected VM's engines run before it is measured
 * @param minutes how long a run over a long time takes
 * @param epochs how many a benchmark over many epochs makes
 * @param plot where a drawing goes, if one is wanted
 * @param folder on the file system to measure
 * @param only measure that of which the name has such a part
 */
public record BenchSettings(
        int rounds,
        int seconds,
        int warmUpSeconds,
        int minutes,
        int epochs,
        @Nullable Path plot,
        Path folder,
        Pattern only) {
    public BenchSettings {
        if (warmUpSeconds < 0) {
            throw new IllegalArgumentException("warm-up is at least 0");
        }
        if (rounds < 1 || seconds < 1 || minutes < 1 || epochs < 1) {
            throw new IllegalArgumentException("rounds, seconds, minutes and epochs are at least 1");
        }
    }

    /** Whether the user wants what has this name. */
    public boolean wants(String name) {
        return only.matcher(name).find();
    }
}
