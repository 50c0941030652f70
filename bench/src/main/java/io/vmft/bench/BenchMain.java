package io.vmft.bench;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.vmft.bench.checkpoint.CheckpointBench;
import io.vmft.bench.copy.CopyBench;
import io.vmft.bench.durability.DurabilityBench;
import io.vmft.bench.micro.MicroBench;
import io.vmft.bench.nbd.MemoryBench;
import io.vmft.bench.nbd.NbdBench;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** The command line {@code vmft bench}. Ends with 0 if the benchmark ran, whether its targets are met or not. */
@Command(
        name = "bench",
        description = "Runs a benchmark and says which targets are not met. Without a name: lists them.",
        mixinStandardHelpOptions = true)
public final class BenchMain implements Callable<Integer> {
    private static final List<Bench> BENCHES = Stream.concat(
                    Stream.of(
                            new NbdBench(),
                            new MemoryBench(),
                            new CopyBench(),
                            new CheckpointBench(),
                            new DurabilityBench()),
                    MicroBench.all().stream())
            .toList();

    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(arity = "0..1", paramLabel = "NAME", description = "The benchmark to run.")
    private @Nullable String name;

    @Option(names = "--json", paramLabel = "FILE", description = "Write the results there.")
    private @Nullable Path json;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "5",
            description = "How often everything is measured (default: ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            paramLabel = "N",
            defaultValue = "3",
            description = "How long one measurement takes (default: ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = "--warm-up",
            paramLabel = "SECONDS",
            defaultValue = "40",
            description = "How long the engines of a protected VM run before a row of its pauses or its speed begins"
                    + " (default: ${DEFAULT-VALUE}; their compilers are busy for some five minutes).")
    private int warmUpSeconds;

    @Option(
            names = "--minutes",
            paramLabel = "N",
            defaultValue = "10",
            description = "How long a benchmark over a long time takes (default: ${DEFAULT-VALUE}).")
    private int minutes;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "2000",
            description = "How many epochs a benchmark over many of them makes (default: ${DEFAULT-VALUE}).")
    private int epochs;

    @Option(names = "--plot", paramLabel = "FILE", description = "Draw what can be drawn there, as SVG.")
    private @Nullable Path plot;

    @Option(
            names = "--only",
            paramLabel = "PATTERN",
            defaultValue = "",
            description =
                    "Measure only what has such a part in its name, as in --only 'unix/.*-1m' (a regular expression).")
    private String only = "";

    @Option(
            names = "--dir",
            paramLabel = "DIR",
            description = "A directory on the file system to measure (default: the directory for temporary files).")
    private Path folder = Path.of(System.getProperty("java.io.tmpdir"));

    private BenchMain() {}

    public static void main(String[] arguments) {
        System.exit(new CommandLine(new BenchMain())
                .setExecutionExceptionHandler((failure, command, _) -> {
                    String message = failure.getMessage();
                    command.getErr().println("vmft bench: " + (message == null ? failure.toString() : message));
                    return 1;
                })
                .execute(arguments));
    }

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter out = spec.commandLine().getOut();
        if (name == null) {
            BENCHES.forEach(bench -> out.printf("%-12s %s%n", bench.name(), bench.description()));
            out.flush();
            return 0;
        }
        Optional<Bench> bench =
                BENCHES.stream().filter(each -> each.name().equals(name)).findFirst();
        if (bench.isEmpty()) {
            throw new CommandLine.ParameterException(
                    spec.commandLine(), "there is no benchmark " + name + "; \"vmft bench\" lists them");
        }
        List<Result> results = bench.get().run(settings(), spec.commandLine().getErr());
        if (results.isEmpty()) {
            throw new IOException(
                    "nothing of " + name + " has a name as '" + only + "'; without --only all is measured");
        }
        String table = bench.get().table(results);
        if (table.isEmpty()) {
            list(results, out);
        } else {
            out.print(table);
        }
        sayMissed(results, out);
        if (json != null) {
            new ObjectMapper()
                    .enable(SerializationFeature.INDENT_OUTPUT)
                    .writeValue(json.toFile(), Map.of("benchmark", name, "results", results));
        }
        return 0;
    }

    private BenchSettings settings() {
        try {
            return new BenchSettings(
                    rounds, seconds, warmUpSeconds, minutes, epochs, plot, folder, Pattern.compile(only));
        } catch (IllegalArgumentException e) {
            throw new CommandLine.ParameterException(spec.commandLine(), String.valueOf(e.getMessage()));
        }
    }

    private static void list(List<Result> results, PrintWriter out) {
        int width = results.stream()
                .mapToInt(result -> result.name().length())
                .max()
                .orElse(0);
        out.printf("%-" + width + "s %12s %12s %12s  %-8s %s%n", "", "median", "min", "max", "unit", "target");
        for (Result result : results) {
            String target = result.target() == null
                    ? ""
                    : "%s %.3g%s".formatted(result.direction(), result.target(), result.met() ? "" : "  NOT MET");
            out.printf(
                    "%-" + width + "s %12.4g %12.4g %12.4g  %-8s %s%n",
                    result.name(),
                    result.median(),
                    result.min(),
                    result.max(),
                    result.unit(),
                    target);
        }
    }

    private static void sayMissed(List<Result> results, PrintWriter out) {
        List<Result> missed = results.stream().filter(result -> !result.met()).toList();
        if (missed.isEmpty()) {
            out.println("every target is met");
        }
        missed.forEach(result -> out.println("not met: " + result.miss()));
        out.flush();
    }
}
