package io.vmft.bench.codec;

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

/** Runs {@link NbdCodecBenchmark}. */
public final class CodecBench implements Bench {
    private static final String ALLOCATION = "gc.alloc.rate.norm";

    @Override
    public String name() {
        return "codec";
    }

    @Override
    public String description() {
        return "the NBD codec: nanoseconds and bytes allocated per request (JMH)";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException {
        Options options = new OptionsBuilder()
                .include("\\." + NbdCodecBenchmark.class.getSimpleName() + "\\.")
                .forks(1)
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
