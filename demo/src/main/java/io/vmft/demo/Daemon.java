package io.vmft.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** One of vmft's own processes, on one of the lab's machines, its output in a file so that it may outlive the demo. */
final class Daemon {
    private static final long POLL_MILLIS = 20;
    private static final List<String> JVM = List.of(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "--sun-misc-unsafe-memory-access=allow",
            "-XX:+UseZGC",
            "-Xms64m",
            "-Xmx256m",
            "-XX:MaxDirectMemorySize=1g");

    private final String name;
    private final Process process;
    private final Path log;

    private Daemon(String name, Process process, Path log) {
        this.name = name;
        this.process = process;
        this.log = log;
    }

    /**
     * Starts a main class of this class path.
     *
     * @param name for messages
     * @param namespace where it runs
     * @param log appended to
     */
    static Daemon start(String name, String namespace, Path log, String mainClass, List<String> arguments)
            throws DemoException {
        return start(name, namespace, List.of(), log, mainClass, arguments);
    }

    /**
     * As the other, through another program.
     *
     * @param through a program and its first arguments, that ends by taking the process over to what follows; empty: none
     */
    static Daemon start(
            String name, String namespace, List<String> through, Path log, String mainClass, List<String> arguments)
            throws DemoException {
        // The process that "ip netns exec" starts takes its place: its id is the daemon's.
        List<String> command = new ArrayList<>(List.of("ip", "netns", "exec", namespace));
        command.addAll(through);
        command.addAll(JVM);
        String nativeDir = System.getProperty("vmft.native.dir");
        if (nativeDir != null) {
            command.add("-Dvmft.native.dir=" + nativeDir);
        }
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(arguments);
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()))
                    .start();
            process.getOutputStream().close();
            return new Daemon(name, process, log);
        } catch (IOException e) {
            throw new DemoException(name + " cannot be started: " + e.getMessage(), e);
        }
    }

    /** Waits until it printed a line that starts with {@code ready}. */
    void awaitReady(Duration limit) throws DemoException, InterruptedException {
        long deadline = System.nanoTime() + limit.toNanos();
        while (lines().stream().noneMatch(line -> line.startsWith("ready"))) {
            checkAlive();
            if (System.nanoTime() > deadline) {
                throw new DemoException(name + " is not ready after " + limit.toSeconds() + " s: " + lastLine() + " ("
                        + log.getFileName() + ")");
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** SIGKILL; returns when it is gone. */
    void crash() throws InterruptedException {
        process.destroyForcibly().waitFor();
    }

    /** Fails, with its last words, if it has ended. */
    void checkAlive() throws DemoException {
        if (!process.isAlive()) {
            throw new DemoException(name + " ended with status " + process.exitValue() + ": " + lastLine() + " ("
                    + log.getFileName() + ")");
        }
    }

    /** Asks it to end and waits; a status other than 0 is a failure. */
    void stop(Duration limit) throws DemoException, InterruptedException {
        process.destroy();
        awaitEnd(limit);
    }

    /** Waits until it ended by itself; a status other than 0 is a failure. */
    void awaitEnd(Duration limit) throws DemoException, InterruptedException {
        if (!process.waitFor(limit.toMillis(), TimeUnit.MILLISECONDS)) {
            throw new DemoException(name + " still runs after " + limit.toSeconds() + " s (" + log + ")");
        }
        if (process.exitValue() != 0) {
            throw new DemoException(name + " ended with status " + process.exitValue() + ": " + lastLine() + " ("
                    + log.getFileName() + ")");
        }
    }

    private String lastLine() {
        List<String> lines = lines();
        return lines.isEmpty() ? "it said nothing" : lines.getLast();
    }

    private List<String> lines() {
        try {
            return Files.exists(log) ? Files.readAllLines(log) : List.of();
        } catch (IOException e) {
            return List.of(log + " cannot be read: " + e.getMessage());
        }
    }
}
