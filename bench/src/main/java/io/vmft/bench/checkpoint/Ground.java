package io.vmft.bench.checkpoint;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Comparator;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A place for one run: a folder, guest memory, and a network namespace with a bridge, all gone when it is closed or the benchmark is ended by
 * a signal. What is {@link #add added} is closed first, the last first.
 */
final class Ground implements AutoCloseable {
    static final String BRIDGE = "br0";
    static final String ADDRESS = "10.78.0.1";
    static final String GUEST_ADDRESS = "10.78.0.100";
    private static final int COMMAND_SECONDS = 60;

    private final Path folder;
    private final String namespace;
    private final Deque<AutoCloseable> parts = new ArrayDeque<>();
    private final Thread onSignal = Thread.ofPlatform().unstarted(this::end);

    Ground(Path parent) throws IOException, InterruptedException {
        folder = Files.createTempDirectory(parent, "vmft-bench-");
        namespace = folder.getFileName().toString();
        Runtime.getRuntime().addShutdownHook(onSignal);
        try {
            command("ip", "netns", "add", namespace);
            command("ip", "-n", namespace, "link", "set", "lo", "up");
            command("ip", "-n", namespace, "link", "add", BRIDGE, "type", "bridge", "forward_delay", "0");
            command("ip", "-n", namespace, "address", "add", ADDRESS + "/24", "dev", BRIDGE);
            command("ip", "-n", namespace, "link", "set", BRIDGE, "up");
        } catch (IOException | InterruptedException e) {
            close();
            throw e;
        }
    }

    Path folder() {
        return folder;
    }

    Path memory(String name) {
        return Path.of("/dev/shm", namespace + "-" + name);
    }

    /** A command that runs in the namespace and takes the place of {@code ip}: its process id is the one started. */
    List<String> inside(List<String> command) {
        return Stream.concat(Stream.of("ip", "netns", "exec", namespace), command.stream())
                .toList();
    }

    synchronized <T extends AutoCloseable> T add(T part) {
        parts.push(part);
        return part;
    }

    static void command(String... command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        if (!process.waitFor(COMMAND_SECONDS, TimeUnit.SECONDS) || process.exitValue() != 0) {
            throw new IOException(String.join(" ", command) + ": " + said.strip() + "; the benchmark needs root");
        }
    }

    private synchronized void end() {
        while (!parts.isEmpty()) {
            try {
                parts.pop().close();
            } catch (Exception e) {
                System.err.println("vmft bench: while cleaning up: " + e);
            }
        }
        try {
            Process process = new ProcessBuilder("ip", "netns", "delete", namespace)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            process.waitFor();
            delete(folder);
            try (var left = Files.newDirectoryStream(Path.of("/dev/shm"), namespace + "-*")) {
                for (Path each : left) {
                    Files.delete(each);
                }
            }
        } catch (IOException | UncheckedIOException | InterruptedException e) {
            System.err.println("vmft bench: could not clean up " + folder + ": " + e);
        }
    }

    private static void delete(Path root) throws IOException {
        if (!Files.exists(root)) {
            return;
        }
        try (Stream<Path> files = Files.walk(root)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }

    @Override
    public void close() {
        end();
        try {
            Runtime.getRuntime().removeShutdownHook(onSignal);
        } catch (IllegalStateException _) {
            // A signal came first.
        }
    }
}
