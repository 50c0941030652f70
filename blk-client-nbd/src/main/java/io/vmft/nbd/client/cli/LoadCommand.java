package io.vmft.nbd.client.cli;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import java.io.IOException;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

@Command(
        name = "bench",
        description = "Puts load on an export and says how fast it was.",
        mixinStandardHelpOptions = true)
final class LoadCommand implements Callable<Integer> {
    @Spec
    private CommandSpec spec = CommandSpec.create();

    @Parameters(paramLabel = "URI", description = "The export.")
    private @Nullable NbdUri uri;

    @Option(
            names = "--pattern",
            paramLabel = "NAME",
            defaultValue = "randread",
            description = "${COMPLETION-CANDIDATES} (default: ${DEFAULT-VALUE}).")
    private Load.Pattern pattern = Load.Pattern.RANDREAD;

    @Option(names = "--block", paramLabel = "SIZE", defaultValue = "4K", description = "Default: ${DEFAULT-VALUE}.")
    private ByteCount block = new ByteCount(4096);

    @Option(
            names = "--depth",
            paramLabel = "N",
            defaultValue = "32",
            description = "Requests under way at a time (default: ${DEFAULT-VALUE}).")
    private int depth;

    @Option(names = "--connections", paramLabel = "N", defaultValue = "1", description = "Default: ${DEFAULT-VALUE}.")
    private int connections;

    @Option(names = "--seconds", paramLabel = "N", defaultValue = "5", description = "Default: ${DEFAULT-VALUE}.")
    private int seconds;

    @Option(names = "--destroy-data", description = "Patterns that write need it: they write over what is there.")
    private boolean destroyData;

    @Option(names = "--json", description = "For programs.")
    private boolean json;

    @Mixin
    private Opening opening = new Opening();

    @Override
    public Integer call() throws IOException {
        if (pattern.writes() && !destroyData) {
            throw wrong("this pattern writes over the export's data; add --destroy-data if that is meant");
        }
        if (depth < 1 || depth > 1024 || seconds < 1 || block.bytes() < 1 || block.bytes() > 32 << 20) {
            throw wrong("use a depth of 1 to 1024, at least 1 second, and blocks of 1 to 32M");
        }
        ConnectOptions options;
        try {
            options = ConnectOptions.DEFAULT.withConnections(connections);
        } catch (IllegalArgumentException e) {
            throw wrong(String.valueOf(e.getMessage()));
        }
        try (NbdClient client = opening.open(Required.of(uri), options)) {
            if (client.export().sizeBytes() < block.bytes() || client.export().maximumPayloadBytes() < block.bytes()) {
                throw new IOException("the export is smaller than one block, or does not take requests of that size");
            }
            Load load = new Load(client, pattern, (int) block.bytes(), depth);
            print(load.run(Duration.ofSeconds(seconds)));
        }
        return 0;
    }

    private ParameterException wrong(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    private void print(Load.Outcome outcome) throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        Histogram nanos = outcome.latencyNanos();
        double perSecond = nanos.getTotalCount() / outcome.seconds();
        Map<String, Object> figures = new LinkedHashMap<>();
        figures.put("iops", (double) Math.round(perSecond));
        figures.put("mbPerSecond", Math.round(perSecond * block.bytes() / 1e4) / 100.0);
        figures.put("p50Micros", nanos.getValueAtPercentile(50) / 1000.0);
        figures.put("p99Micros", nanos.getValueAtPercentile(99) / 1000.0);
        figures.put("p999Micros", nanos.getValueAtPercentile(99.9) / 1000.0);
        figures.put("maxMicros", nanos.getMaxValue() / 1000.0);
        if (json) {
            out.println(new ObjectMapper()
                    .enable(SerializationFeature.INDENT_OUTPUT)
                    .writeValueAsString(figures));
        } else {
            out.printf(
                    "%.0f IOPS, %.1f MB/s, latency p50 %.0f µs, p99 %.0f µs, p99.9 %.0f µs, most %.0f µs%n",
                    figures.values().toArray());
        }
        out.flush();
    }
}
