package io.vmft.demo;

import com.fasterxml.jackson.annotation.JsonProperty;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * What a run showed. Written as {@code demo-report.json}; scripts rely on these names.
 *
 * @param blackoutMillis the longest time between two answers around a kill, over all kills
 *     Longer than {@value #MOST_BLACKOUT_MILLIS} ms it is said aloud, but is no failure: how long a busy machine takes proves nothing
 *     about what was lost
 * @param takeOverMillis one a kill: from the backup's suspicion to the VM running, as its engine measured it
 * @param pauseMsP50 of the primary with the longest pauses
 * @param epochs committed, over all primaries
 * @param problems what kept it from passing; empty if it passed
 */
record DemoReport(
        @JsonProperty("pass") boolean pass,
        @JsonProperty("seed") long seed,
        @JsonProperty("kills") int kills,
        @JsonProperty("records_acknowledged") long recordsAcknowledged,
        @JsonProperty("records_lost") long recordsLost,
        @JsonProperty("records_duplicated") long recordsDuplicated,
        @JsonProperty("records_misplaced") long recordsMisplaced,
        @JsonProperty("blackout_ms") double blackoutMillis,
        @JsonProperty("blackouts_ms") List<Double> blackoutsMillis,
        @JsonProperty("takeover_ms") List<Double> takeOverMillis,
        @JsonProperty("pause_ms_p50") double pauseMsP50,
        @JsonProperty("pause_ms_p99") double pauseMsP99,
        @JsonProperty("epochs") long epochs,
        @JsonProperty("accelerator") String accelerator,
        @JsonProperty("qemu_version") String qemuVersion,
        @JsonProperty("problems") List<String> problems) {

    /** What a client should wait at most on a machine that has time. */
    static final int MOST_BLACKOUT_MILLIS = 500;

    /** Writes {@code demo-report.json} into a folder, which is made if it is not there. */
    Path write(Path folder) throws DemoException {
        Path file = folder.resolve("demo-report.json");
        try {
            Files.createDirectories(folder);
            Files.writeString(
                    file,
                    new ObjectMapper()
                                    .enable(SerializationFeature.INDENT_OUTPUT)
                                    .writeValueAsString(this) + "\n");
            return file;
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a record of numbers and strings can be written", e);
        } catch (IOException e) {
            throw new DemoException(file + " cannot be written: " + e.getMessage(), e);
        }
    }

    /** The small table at the end. */
    String table() {
        StringBuilder table = new StringBuilder();
        row(table, "QEMU", qemuVersion + ", " + accelerator);
        row(table, "epochs", Long.toString(epochs));
        row(table, "pause p50 / p99", String.format(Locale.ROOT, "%.1f / %.1f ms", pauseMsP50, pauseMsP99));
        row(table, "primaries killed", Integer.toString(kills));
        row(table, "takeover", takeOverMillis.isEmpty() ? "-" : millis(takeOverMillis) + " ms");
        row(table, "blackout seen by the client", blackoutsMillis.isEmpty() ? "-" : millis(blackoutsMillis) + " ms");
        if (blackoutMillis > MOST_BLACKOUT_MILLIS) {
            row(table, "", "longer than " + MOST_BLACKOUT_MILLIS + " ms: was the machine busy?");
        }
        row(table, "records acknowledged", Long.toString(recordsAcknowledged));
        row(table, "records lost", Long.toString(recordsLost));
        row(table, "records duplicated", Long.toString(recordsDuplicated));
        for (String problem : problems) {
            row(table, "problem", problem);
        }
        return table.append(pass ? "PASS" : "FAIL").toString();
    }

    private static String millis(List<Double> values) {
        return String.join(
                ", ",
                values.stream()
                        .map(value -> String.format(Locale.ROOT, "%.0f", value))
                        .toList());
    }

    private static void row(StringBuilder table, String name, String value) {
        table.append(String.format("  %-28s %s%n", name, value));
    }
}
