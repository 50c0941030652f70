package io.vmft.bench.micro;

import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import org.openjdk.jmh.profile.GCProfiler;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;
import org.openjdk.jmh.runner.options.VerboseMode;

/**
 * Runs one class of JMH benchmarks with its allocation profiler.
 *
 * @param benchmark whose methods are run, one operation each
 */
public record MicroBench(String name, String description, Class<?> benchmark) implements Bench {
    private static final String ALLOCATION = "gc.alloc.rate.norm";

    /** Those there are. */
    public static List<MicroBench> all() {
        return List.of(
                new MicroBench(
                        "codec",
                        "the NBD codec: nanoseconds and bytes allocated per request (JMH)",
                        NbdCodecBenchmark.class),
                new MicroBench(
                        "overlay",
                        "the index of what the journal holds: insert, resolve, absorb (JMH)",
                        OverlayBenchmark.class),
                new MicroBench(
                        "pack",
                        "compressing and unpacking a checkpoint's page, by how it changed (JMH)",
                        PagePackerBenchmark.class),
                new MicroBench("journal", "appending 4 KiB to the journal (JMH)", JournalBenchmark.class));
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException {
        Options options = new OptionsBuilder()
                .include("\\." + benchmark.getSimpleName() + "\\.")
                .forks(1)
                .jvmArgsAppend("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow")
                .warmupIterations(2)
                .warmupTime(TimeValue.seconds(1))
                .measurementIterations(settings.rounds())
                .measurementTime(TimeValue.seconds(1))
                .addProfiler(GCProfiler.class)
                .shouldFailOnError(true)
                .verbosity(VerboseMode.SILENT)
                .build();
        progress.println("measuring; about half a minute");
        progress.flush();
        Collection<RunResult> runs;
        try {
            runs = new Runner(options).run();
        } catch (RunnerException e) {
            throw new IOException("JMH failed: " + e.getMessage(), e);
        }
        List<Result> results = new ArrayList<>();
        for (RunResult run : runs) {
            String method = run.getParams().getBenchmark().replaceAll(".*\\.", "");
            List<Double> nanos = new ArrayList<>();
            List<Double> bytes = new ArrayList<>();
            run.getBenchmarkResults()
                    .forEach(fork -> fork.getIterationResults().forEach(iteration -> {
                        nanos.add(iteration.getPrimaryResult().getScore());
                        bytes.add(allocated(iteration));
                    }));
            results.add(Result.of(method, "ns/op", nanos));
            results.add(Result.of(method + "/allocation", "B/op", bytes));
        }
        return results;
    }

    @SuppressWarnings("rawtypes") // JMH's own signature
    private static double allocated(IterationResult iteration) {
        return iteration.getSecondaryResults().entrySet().stream()
                .filter(entry -> entry.getKey().endsWith(ALLOCATION))
                .mapToDouble(entry -> entry.getValue().getScore())
                .findFirst()
                .orElse(Double.NaN);
    }
}
