package io.vmft.bench.nbd;

import java.io.BufferedReader;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** A server to measure: a process of ours that serves one image. */
final class Peer implements AutoCloseable {
    private static final int START_SECONDS = 30;
    private static final int STOP_SECONDS = 20;
    private static final int CLOCK_TICKS_PER_SECOND = 100;

    /** The servers that can be measured. */
    enum Kind {
        BLK_SERVER("blk-server"),
        NBDKIT("nbdkit"),
        QEMU_NBD("qemu-nbd");

        private final String label;

        Kind(String label) {
            this.label = label;
        }

        @Override
        public String toString() {
            return label;
        }
    }

    private final Kind kind;
    private final Process process;
    private final String uri;
    private final Path log;

    private Peer(Kind kind, Process process, String uri, Path log) {
        this.kind = kind;
        this.process = process;
        this.uri = uri;
        this.log = log;
    }

    /** Starts a server and waits until it can be reached. */
    static Peer start(Kind kind, boolean unix, Path image, Path folder) throws IOException, InterruptedException {
        Path socket = folder.resolve(kind + (unix ? "-u" : "-t") + ".sock");
        int port = unix ? 0 : freePort();
        List<String> command = switch (kind) {
            case BLK_SERVER -> blkServer(unix ? "unix:" + socket : "127.0.0.1:" + port, image, folder);
            case NBDKIT -> nbdkit(unix, socket, port, image);
            case QEMU_NBD -> qemuNbd(unix, socket, port, image);
        };
        Path log = folder.resolve(kind + (unix ? "-unix" : "-tcp") + ".log");
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        String export = "disk";
        String uri = unix ? "nbd+unix:///" + export + "?socket=" + socket : "nbd://127.0.0.1:" + port + "/" + export;
        Peer peer = new Peer(kind, process, uri, log);
        try {
            peer.awaitReady();
        } catch (IOException | InterruptedException e) {
            peer.close();
            throw e;
        }
        return peer;
    }

    private static List<String> blkServer(String listen, Path image, Path folder) throws IOException {
        Path data = Files.createDirectories(folder.resolve("data-" + listen.replaceAll("[^0-9a-z]", "_")));
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:+UseZGC",
                "-Xms64m",
                "-Xmx256m",
                "--enable-native-access=ALL-UNNAMED"));
        command.addAll(List.of("-cp", System.getProperty("java.class.path")));
        command.addAll(List.of("io.vmft.blk.server.BlkServerMain", "--data", data.toString(), "--listen", listen));
        command.addAll(List.of("--control", "127.0.0.1:0", "--volume", "disk=" + image));
        return command;
    }

    private static List<String> nbdkit(boolean unix, Path socket, int port, Path image) {
        List<String> command = new ArrayList<>(List.of("nbdkit", "-f", "-e", "disk"));
        command.addAll(unix ? List.of("-U", socket.toString()) : List.of("-i", "127.0.0.1", "-p", "" + port));
        command.addAll(List.of("file", image.toString()));
        return command;
    }

    private static List<String> qemuNbd(boolean unix, Path socket, int port, Path image) {
        List<String> command = new ArrayList<>(List.of("qemu-nbd", "-t", "-e", "16", "-x", "disk", "-f", "raw"));
        command.addAll(unix ? List.of("-k", socket.toString()) : List.of("-b", "127.0.0.1", "-p", "" + port));
        command.addAll(List.of("--cache=writeback", image.toString()));
        return command;
    }

    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    /** Asks an independent client until it gets an answer. */
    private void awaitReady() throws IOException, InterruptedException {
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (System.nanoTime() < deadlineNanos) {
            if (!process.isAlive()) {
                throw new IOException(kind + " ended at start: " + lastLine());
            }
            Process probe = new ProcessBuilder("nbdinfo", "--size", uri)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            if (probe.waitFor() == 0) {
                return;
            }
            Thread.sleep(50);
        }
        throw new IOException(kind + " does not answer on " + uri + ": " + lastLine());
    }

    private String lastLine() throws IOException {
        String last = "it said nothing";
        try (BufferedReader reader = Files.newBufferedReader(log, StandardCharsets.UTF_8)) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                if (!line.isBlank()) {
                    last = line;
                }
            }
        }
        return last;
    }

    Kind kind() {
        return kind;
    }

    String uri() {
        return uri;
    }

    /** Processor time it has used so far, in seconds. */
    double cpuSeconds() throws IOException {
        String stat = Files.readString(Path.of("/proc/" + process.pid() + "/stat"), StandardCharsets.UTF_8);
        String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
        return (Long.parseLong(fields[11]) + Long.parseLong(fields[12])) / (double) CLOCK_TICKS_PER_SECOND;
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
