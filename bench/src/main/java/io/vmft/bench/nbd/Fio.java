package io.vmft.bench.nbd;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;

/** Runs fio against a server. */
final class Fio {
    /**
     * What one run showed.
     *
     * @param medianMicros of a read or write
     * @param syncMedianMicros of an fsync; 0: there was none
     */
    record Sample(
            double operationsPerSecond,
            double cpuMicrosPerOperation,
            double medianMicros,
            double p99Micros,
            double syncMedianMicros) {}

    /** What is to be done when fio has ended; returns the server's processor seconds until which what it did counts. */
    interface Ending {
        double end() throws IOException, InterruptedException;
    }

    private Fio() {}

    /**
     * Measures.
     *
     * @param ending done after fio
     */
    static Sample measure(ServerProcess server, String uri, Workload workload, int seconds, int imageMib, Ending ending)
            throws IOException, InterruptedException {
        if (workload.writes()) {
            // What others wrote before is not to be written back during this measurement.
            output(List.of("sync"));
        }
        double cpuBefore = server.cpuSeconds();
        String output = output(workload.fio(uri, seconds, imageMib));
        if (output.indexOf('{') < 0) {
            throw new IOException(workload.name() + " on " + server.kind() + ": fio has no result");
        }
        double cpuSeconds = ending.end() - cpuBefore;
        // fio may say something before its JSON begins.
        JsonNode job = new ObjectMapper()
                .readTree(output.substring(output.indexOf('{')))
                .path("jobs")
                .path(0);
        JsonNode work = job.path(workload.writes() ? "write" : "read");
        JsonNode latency = work.path("clat_ns").path("percentile");
        return new Sample(
                work.path("iops").asDouble(),
                cpuSeconds * 1e6 / work.path("total_ios").asDouble(),
                latency.path("50.000000").asDouble() / 1e3,
                latency.path("99.000000").asDouble() / 1e3,
                job.path("sync")
                                .path("lat_ns")
                                .path("percentile")
                                .path("50.000000")
                                .asDouble()
                        / 1e3);
    }

    private static String output(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (process.waitFor() != 0) {
            throw new IOException(String.join(" ", command) + ": "
                    + output.lines().findFirst().orElse("failed and said nothing"));
        }
        return output;
    }
}
