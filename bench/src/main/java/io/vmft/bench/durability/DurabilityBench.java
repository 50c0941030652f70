package io.vmft.bench.durability;

import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** Everything that {@code docs/durability.md} has figures of. */
public final class DurabilityBench implements Bench {
    private interface Part {
        List<Result> run(Path folder, BenchSettings settings, PrintWriter progress)
                throws IOException, InterruptedException;
    }

    private record NamedPart(String name, Part part) {}

    private static final List<NamedPart> PARTS = List.of(
            new NamedPart("throughput", Throughput::run),
            new NamedPart("group-commit", GroupCommit::run),
            new NamedPart("amplification", Amplification::run),
            new NamedPart("recovery", RecoveryTime::run));

    @Override
    public String name() {
        return "durability";
    }

    @Override
    public String description() {
        return "the journal beside a bare file: throughput, commits, bytes written, recovery after SIGKILL";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        List<Result> results = new ArrayList<>();
        for (NamedPart each : PARTS) {
            if (!settings.wants(each.name())) {
                continue;
            }
            Path folder = Files.createTempDirectory(settings.folder(), "vmft-bench-durability");
            try {
                results.addAll(each.part().run(folder, settings, progress));
            } finally {
                delete(folder);
            }
        }
        return results;
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
