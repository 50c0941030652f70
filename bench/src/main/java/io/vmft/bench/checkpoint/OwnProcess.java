package io.vmft.bench.checkpoint;

import io.vmft.bench.OwnCommand;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;

/** One of vmft's own programs, as the launcher starts it, in the benchmark's namespace; says {@code ready …} when it is. */
final class OwnProcess implements AutoCloseable {
    private static final int READY_SECONDS = 60;
    private static final int STOP_SECONDS = 20;
    private static final int POLL_MILLIS = 20;

    private final String name;
    private final Process process;
    private final Path log;

    private OwnProcess(String name, Process process, Path log) {
        this.name = name;
        this.process = process;
        this.log = log;
    }

    /** Starts a program. */
    static OwnProcess start(Ground ground, String name, OwnCommand program, List<String> arguments) throws IOException {
        Path log = ground.folder().resolve(name + ".log");
        Process process = new ProcessBuilder(ground.inside(program.of(arguments)))
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        process.getOutputStream().close();
        return ground.add(new OwnProcess(name, process, log));
    }

    /** Waits until a line matches. */
    MatchResult await(Pattern line) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_SECONDS);
        while (true) {
            var found = line.matcher(Files.readString(log, StandardCharsets.UTF_8));
            if (found.find()) {
                return found.toMatchResult();
            }
            checkAlive();
            if (System.nanoTime() > deadline) {
                throw new IOException(name + " is not ready after " + READY_SECONDS + " s: " + lastLine());
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    void checkAlive() throws IOException {
        if (!process.isAlive()) {
            throw new IOException(name + " ended with status " + process.exitValue() + ": " + lastLine());
        }
    }

    private String lastLine() throws IOException {
        List<String> lines = Files.readAllLines(log, StandardCharsets.UTF_8);
        return lines.isEmpty() ? "it said nothing" : lines.getLast();
    }

    ProcessHandle handle() {
        return process.toHandle();
    }

    /** Resident memory now. */
    long residentBytes() throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/" + process.pid() + "/status"), StandardCharsets.UTF_8)) {
            if (line.startsWith("VmRSS:")) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
            }
        }
        throw new IOException(name + " has ended: " + lastLine());
    }

    @Override
    public void close() {
        process.destroy();
        try {
            if (!process.waitFor(STOP_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException _) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
