package io.vmft.blk.server;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** A block server in a process of its own, as an operator starts it. */
public final class ServerProcess implements AutoCloseable {
    private final Process process;
    private final String ready;

    private ServerProcess(Process process, String ready) {
        this.process = process;
        this.ready = ready;
    }

    /** Starts one and waits until it is ready. */
    static ServerProcess start(Path log, String... arguments) throws IOException {
        return start(log, Map.of(), arguments);
    }

    /** As {@link #start}, with more in its environment. */
    public static ServerProcess start(Path log, Map<String, String> environment, String... arguments)
            throws IOException {
        Process process = launch(log, environment, arguments);
        BufferedReader output =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8));
        String line = output.readLine();
        if (line == null || !line.startsWith("ready ")) {
            process.destroyForcibly();
            throw new AssertionError("the server said '" + line + "', see " + log);
        }
        return new ServerProcess(process, line);
    }

    /** Runs one that is expected to end by itself; its exit status. */
    static int run(Path log, String... arguments) throws IOException, InterruptedException {
        return run(log, Map.of(), arguments);
    }

    /** As {@link #run}, with more in its environment. */
    public static int run(Path log, Map<String, String> environment, String... arguments)
            throws IOException, InterruptedException {
        Process process = launch(log, environment, arguments);
        if (!process.waitFor(60, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new AssertionError("the server still runs: " + Arrays.toString(arguments));
        }
        return process.exitValue();
    }

    /** What a command said that ended by itself. */
    record Result(int status, String output, String errors) {}

    /** Runs a command to its end. */
    static Result result(String... arguments) throws IOException, InterruptedException {
        Path errors = Files.createTempFile("command", ".err");
        try {
            Process process = new ProcessBuilder(command(arguments))
                    .redirectError(errors.toFile())
                    .start();
            process.getOutputStream().close();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (!process.waitFor(60, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new AssertionError("still runs: " + Arrays.toString(arguments));
            }
            String said = Files.readAllLines(errors).stream()
                    .filter(line -> !line.startsWith("WARNING: "))
                    .map(line -> line + "\n")
                    .collect(Collectors.joining());
            return new Result(process.exitValue(), output, said);
        } finally {
            Files.delete(errors);
        }
    }

    private static Process launch(Path log, Map<String, String> environment, String... arguments) throws IOException {
        ProcessBuilder builder =
                new ProcessBuilder(command(arguments)).redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()));
        builder.environment().putAll(environment);
        return builder.start();
    }

    /** The words of its command line. */
    static List<String> command(String... arguments) {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-XX:+UseSerialGC",
                // It is over before much is worth compiling twice.
                "-XX:TieredStopAtLevel=1",
                "-Xmx256m",
                "-cp",
                System.getProperty("java.class.path"),
                "io.vmft.blk.server.BlkServerMain"));
        command.addAll(List.of(arguments));
        return command;
    }

    String readyLine() {
        return ready;
    }

    public int controlPort() {
        return port("control=");
    }

    public int nbdPort() {
        return port("nbd://");
    }

    private int port(String prefix) {
        String word = Arrays.stream(ready.split(" ", -1))
                .filter(part -> part.startsWith(prefix))
                .findFirst()
                .orElseThrow();
        return Integer.parseInt(word.substring(word.lastIndexOf(':') + 1).replace("/", ""));
    }

    public void kill() {
        process.destroyForcibly().onExit().join();
    }

    public int terminate() throws InterruptedException {
        process.destroy();
        if (!process.waitFor(30, TimeUnit.SECONDS)) {
            throw new AssertionError("the server does not end on SIGTERM");
        }
        return process.exitValue();
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    /** Whether it has ended by then. */
    public boolean endsWithin(int millis) throws InterruptedException {
        return process.waitFor(millis, TimeUnit.MILLISECONDS);
    }

    @Override
    public void close() {
        kill();
    }
}
