package io.vmft.bench;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.List;

/** A benchmark that {@code vmft bench NAME} runs. */
public interface Bench {
    /** As the user types it. */
    String name();

    /** One line for the list. */
    String description();

    /**
     * Measures. Leaves no process and no file behind.
     *
     * @param progress what is being done, for a person who waits
     * @throws IOException if it cannot run here: one line that says what is missing
     */
    List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException;

    /** The results at a glance, whole lines, shown instead of the list; empty if there is no better view than that. */
    default String table(List<Result> results) {
        return "";
    }
}
