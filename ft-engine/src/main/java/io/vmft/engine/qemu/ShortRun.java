package io.vmft.engine.qemu;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** A command that answers on stdout and ends by itself. */
final class ShortRun {
    private static final Duration TIMEOUT = Duration.ofSeconds(30);
    private static final int MAX_OUTPUT_BYTES = 1 << 20;

    private ShortRun() {}

    /**
     * Runs it.
     *
     * @return what it wrote, at most 1 MiB
     * @throws QemuException if it cannot be run, fails, or takes more than 30 seconds
     */
    static String output(Path binary, String... arguments) throws QemuException, InterruptedException {
        List<String> line = new ArrayList<>();
        line.add(binary.toString());
        line.addAll(Arrays.asList(arguments));
        Process process;
        try {
            process = new ProcessBuilder(line).redirectErrorStream(true).start();
        } catch (IOException e) {
            throw new QemuException(binary + " cannot be run: " + e.getMessage(), e);
        }
        try {
            CompletableFuture<String> output = new CompletableFuture<>();
            Thread.ofVirtual().start(() -> read(process, output));
            if (!process.waitFor(TIMEOUT)) {
                throw new QemuException(String.join(" ", line) + " took more than " + TIMEOUT.toSeconds() + " s");
            }
            String text = output.completeOnTimeout("", 5, TimeUnit.SECONDS).join();
            if (process.exitValue() != 0) {
                throw new QemuException(String.join(" ", line) + " ended with status " + process.exitValue() + ": "
                        + text.lines().findFirst().orElse("it said nothing"));
            }
            return text;
        } finally {
            process.destroyForcibly();
        }
    }

    private static void read(Process process, CompletableFuture<String> output) {
        try (InputStream in = process.getInputStream()) {
            output.complete(new String(in.readNBytes(MAX_OUTPUT_BYTES), StandardCharsets.UTF_8));
        } catch (IOException e) {
            output.complete("");
        }
    }
}
