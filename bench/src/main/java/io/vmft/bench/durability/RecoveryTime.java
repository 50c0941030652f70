package io.vmft.bench.durability;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.OwnCommand;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * A server with a journal full of writes that are in no image gets SIGKILL; how long the next one takes until it is ready, less what one
 * with an empty journal takes.
 */
final class RecoveryTime {
    private static final double TARGET_SECONDS_PER_GIBIBYTE = 1;

    private RecoveryTime() {}

    static List<Result> run(Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        List<Double> empty = new ArrayList<>();
        for (int round = 0; round < settings.rounds(); round++) {
            empty.add(startSeconds(folder.resolve("empty"), true));
        }
        double base = Result.of("", "s", empty).median();
        List<Result> results = new ArrayList<>();
        for (int blockKibibytes : new int[] {4, 64}) {
            String name = "recovery/" + blockKibibytes + "k";
            if (!settings.wants(name)) {
                continue;
            }
            Path own = folder.resolve(blockKibibytes + "k");
            progress.println(name + ": filling the journal");
            progress.flush();
            fill(own, blockKibibytes);
            double gibibytes = journalBytes(own) / (double) (1 << 30);
            for (boolean cached : new boolean[] {true, false}) {
                List<Double> seconds = new ArrayList<>();
                for (int round = 0; round < settings.rounds(); round++) {
                    seconds.add((startSeconds(own, cached) - base) / gibibytes);
                }
                results.add(Result.of(name + (cached ? "/cached" : "/from-disk"), "s/GiB", seconds)
                        .withTarget(Direction.LOWER_IS_BETTER, TARGET_SECONDS_PER_GIBIBYTE));
            }
            results.add(Result.of(name + "/journal", "GiB", List.of(gibibytes)));
        }
        results.add(Result.of("recovery/empty", "s", empty));
        return results;
    }

    private static void fill(Path folder, int blockKibibytes) throws IOException, InterruptedException {
        Files.createDirectories(folder);
        Process process = java(folder, OwnCommand.JOURNAL_FILLER, folder.toString(), String.valueOf(blockKibibytes));
        awaitLine(process, JournalFiller.FULL, folder);
        kill(process);
    }

    private static double startSeconds(Path folder, boolean cached) throws IOException, InterruptedException {
        Files.createDirectories(folder);
        if (!cached) {
            try (Stream<Path> segments = Files.list(folder.resolve("data/journal"))) {
                for (Path segment : segments.toList()) {
                    run("dd", "if=" + segment, "iflag=nocache", "count=0", "status=none");
                }
            }
        }
        long begin = System.nanoTime();
        Process process = java(
                folder,
                OwnCommand.BLOCK_SERVER,
                "--data",
                folder.resolve("data").toString(),
                "--listen",
                "127.0.0.1:0",
                "--control",
                "127.0.0.1:0",
                "--journal-limit",
                Long.toString(JournalFiller.LIMIT_BYTES),
                "--volume",
                Servers.VOLUME + "=" + folder.resolve("disk.img") + ",create=" + JournalFiller.VOLUME_BYTES);
        awaitLine(process, "ready ", folder);
        double seconds = (System.nanoTime() - begin) / 1e9;
        kill(process);
        return seconds;
    }

    private static Process java(Path folder, OwnCommand program, String... arguments) throws IOException {
        return new ProcessBuilder(program.of(List.of(arguments)))
                .redirectError(
                        ProcessBuilder.Redirect.appendTo(folder.resolve("log").toFile()))
                .start();
    }

    private static void awaitLine(Process process, String beginning, Path folder) throws IOException {
        BufferedReader output =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = output.readLine();
        if (line == null || !line.startsWith(beginning)) {
            process.destroyForcibly();
            throw new IOException("a server did not start: "
                    + Files.readAllLines(folder.resolve("log")).stream()
                            .max(Comparator.naturalOrder())
                            .orElse("it said nothing"));
        }
    }

    private static void kill(Process process) throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    private static void run(String... command) throws IOException, InterruptedException {
        if (new ProcessBuilder(command).inheritIO().start().waitFor() != 0) {
            throw new IOException(String.join(" ", command) + " failed");
        }
    }

    private static long journalBytes(Path folder) throws IOException {
        try (Stream<Path> segments = Files.list(folder.resolve("data/journal"))) {
            return segments.mapToLong(segment -> segment.toFile().length()).sum();
        }
    }
}
