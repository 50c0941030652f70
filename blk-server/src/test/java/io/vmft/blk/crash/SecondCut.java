package io.vmft.blk.crash;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.PrintStream;
import java.lang.foreign.Arena;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Power cuts while a server recovers from a power cut: recoveries run in a process of their own under a trace, and are cut at points of
 * what they did. Not thread-safe.
 */
final class SecondCut implements AutoCloseable {
    private static final int CUTS = 6;

    private final WorkFolder work;
    private final DiskTrace trace;
    private final Process process;
    private final PrintStream orders;
    private final BufferedReader answers;

    SecondCut(Path log) throws IOException, InterruptedException {
        work = WorkFolder.make("recovery");
        trace = new DiskTrace(work.empty("disk"), work.path().resolve("trace"));
        ProcessBuilder builder = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "--enable-native-access=ALL-UNNAMED",
                        "-XX:+UseSerialGC",
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx192m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        RecoveryProcess.class.getName(),
                        trace.root().toString())
                .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()));
        builder.environment().putAll(trace.environment(100, 0));
        process = builder.start();
        orders = new PrintStream(process.getOutputStream(), true, StandardCharsets.UTF_8);
        answers = process.inputReader(StandardCharsets.UTF_8);
    }

    /**
     * Cuts a recovery from {@code image} at several points.
     *
     * @param contents what the volumes held after a recovery that was not cut
     * @return at how many points
     */
    int check(
            Disk.Image image,
            List<Judge> judges,
            long position,
            Map<String, byte[]> contents,
            Random random,
            WorkFolder judged)
            throws Exception {
        clear();
        Disk.write(image, trace.root());
        Disk disk = Disk.found(trace.root());
        long from = trace.position();
        orders.println("recover");
        @Nullable String answer = answers.readLine();
        if (!"done".equals(answer)) {
            throw new AssertionError("the recovering process said " + answer);
        }
        try (Arena arena = Arena.ofShared()) {
            List<TraceRecord> records = trace.read(from, arena);
            int[] cuts = random.ints(CUTS, 1, records.size() + 1).sorted().toArray();
            int applied = 0;
            for (int cut : cuts) {
                for (; applied < cut; applied++) {
                    disk.apply(records.get(applied));
                }
                try {
                    checkTwiceCut(disk.crashed(random), judges, position, contents, random, judged);
                } catch (AssertionError e) {
                    throw new AssertionError("cut again while it recovered: " + e.getMessage(), e);
                }
            }
        }
        return CUTS;
    }

    private static void checkTwiceCut(
            Disk.Image image,
            List<Judge> judges,
            long position,
            Map<String, byte[]> contents,
            Random random,
            WorkFolder judged)
            throws Exception {
        Path folder = judged.empty("cut");
        Disk.write(image, folder);
        try (Recovered server = new Recovered(folder, "boot 3")) {
            server.check(judges, position, random);
            server.contents().forEach((volume, content) -> {
                if (!Arrays.equals(content, contents.get(volume))) {
                    throw new AssertionError(volume + " is not what a recovery that was not cut makes of it, from byte "
                            + Arrays.mismatch(content, contents.get(volume)));
                }
            });
        }
    }

    /** This process is not traced: what it does here nobody sees. */
    private void clear() throws IOException {
        try (Stream<Path> listed = Files.list(trace.root())) {
            for (Path path : new ArrayList<>(listed.toList())) {
                WorkFolder.remove(path);
            }
        }
    }

    @Override
    public void close() throws IOException {
        orders.close();
        process.destroyForcibly().onExit().join();
        work.close();
    }
}
