package io.vmft.bench.nbd;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A server to measure: a process of ours. */
final class ServerProcess implements AutoCloseable {
    private static final int START_SECONDS = 30;
    private static final int STOP_SECONDS = 20;
    private static final int QUIET_SECONDS = 60;
    /** Longer than what a server puts off may wait for a volume to come to rest. */
    private static final int QUIET_MILLIS = 4000;

    /** Of one processor: a JVM is never wholly still. */
    private static final double QUIET_SHARE = 0.08;

    private static final int CLOCK_TICKS_PER_SECOND = 100;
    private static final Pattern CONTROL = Pattern.compile("ready control=(\\S+)");

    private static final Set<ServerProcess> RUNNING = ConcurrentHashMap.newKeySet();

    private final ServerKind kind;
    private final ProcessHandle process;
    private final Place place;
    private final Path log;

    private ServerProcess(ServerKind kind, ProcessHandle process, Place place, Path log) {
        this.kind = kind;
        this.process = process;
        this.place = place;
        this.log = log;
    }

    /** Starts a server as its kind says and waits until it can be reached. */
    static ServerProcess start(ServerKind kind, Place place) throws IOException, InterruptedException {
        return start(kind, place, kind.command(place));
    }

    /** Starts a server by a command of one's own. */
    static ServerProcess start(ServerKind kind, Place place, List<String> command)
            throws IOException, InterruptedException {
        Path log = place.folder().resolve(kind + "-" + place.port() + ".log");
        Process started = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        Path pidFile = kind.pidFile(place);
        ProcessHandle handle = pidFile.toString().isEmpty() ? started.toHandle() : detached(started, pidFile, kind);
        ServerProcess server = new ServerProcess(kind, handle, place, log);
        RUNNING.add(server);
        try {
            server.awaitReady();
        } catch (IOException | InterruptedException e) {
            server.close();
            throw e;
        }
        return server;
    }

    private static ProcessHandle detached(Process starter, Path pidFile, ServerKind kind)
            throws IOException, InterruptedException {
        if (!starter.waitFor(START_SECONDS, TimeUnit.SECONDS)) {
            starter.destroyForcibly();
            throw new IOException(kind + " does not detach itself");
        }
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (System.nanoTime() < deadlineNanos) {
            String pid = Files.exists(pidFile)
                    ? Files.readString(pidFile, StandardCharsets.UTF_8).strip()
                    : "";
            if (!pid.isEmpty()) {
                return ProcessHandle.of(Long.parseLong(pid))
                        .orElseThrow(
                                () -> new IOException(kind + " ended at start; it reports to the system's log only"));
            }
            Thread.sleep(20);
        }
        throw new IOException(kind + " did not write " + pidFile);
    }

    /** Asks an independent client until it gets an answer. */
    private void awaitReady() throws IOException, InterruptedException {
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        String uri = uri(ServerKind.EXPORT);
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
        return Files.readAllLines(log, StandardCharsets.UTF_8).stream()
                .filter(line -> !line.isBlank())
                .reduce((_, line) -> line)
                .orElse("it said nothing");
    }

    ServerKind kind() {
        return kind;
    }

    String uri(String export) {
        return place.uri(kind, export);
    }

    /** Where a blk-server's engines connect. */
    String controlAddress() throws IOException {
        Matcher ready = CONTROL.matcher(Files.readString(log, StandardCharsets.UTF_8));
        if (!ready.find()) {
            throw new IOException(kind + " did not say where its control service is: " + lastLine());
        }
        return ready.group(1);
    }

    /** Processor time it and its children have used so far, in seconds. */
    double cpuSeconds() throws IOException {
        long ticks = ticks(process.pid(), true);
        for (ProcessHandle child : process.descendants().toList()) {
            ticks += ticks(child.pid(), false);
        }
        return ticks / (double) CLOCK_TICKS_PER_SECOND;
    }

    private static long ticks(long pid, boolean withEndedChildren) throws IOException {
        try {
            String stat = Files.readString(Path.of("/proc/" + pid + "/stat"), StandardCharsets.UTF_8);
            String[] fields = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
            long ticks = Long.parseLong(fields[11]) + Long.parseLong(fields[12]);
            return withEndedChildren ? ticks + Long.parseLong(fields[13]) + Long.parseLong(fields[14]) : ticks;
        } catch (NoSuchFileException e) {
            return 0; // a child that has ended meanwhile is counted by its parent
        }
    }

    /**
     * Waits until it does nothing: what it puts off, such as writing to an image, is done.
     *
     * @return processor seconds until then
     */
    double awaitQuiet() throws IOException, InterruptedException {
        long deadlineNanos = System.nanoTime() + TimeUnit.SECONDS.toNanos(QUIET_SECONDS);
        double before = cpuSeconds();
        while (System.nanoTime() < deadlineNanos) {
            Thread.sleep(QUIET_MILLIS);
            double now = cpuSeconds();
            if (now - before < QUIET_MILLIS / 1e3 * QUIET_SHARE) {
                return before;
            }
            before = now;
        }
        throw new IOException(kind + " does not come to rest within " + QUIET_SECONDS + " s");
    }

    /** Resident memory now, bytes. */
    long residentBytes() throws IOException {
        return status("VmRSS:");
    }

    /** The most memory that was ever resident, bytes. */
    long peakResidentBytes() throws IOException {
        return status("VmHWM:");
    }

    private long status(String field) throws IOException {
        for (String line : Files.readAllLines(Path.of("/proc/" + process.pid() + "/status"), StandardCharsets.UTF_8)) {
            if (line.startsWith(field)) {
                return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
            }
        }
        throw new IOException(kind + " has ended: " + lastLine());
    }

    /** Ends every server, and what loads them. */
    static void endAll() {
        ProcessHandle.current().descendants().forEach(ProcessHandle::destroy);
        RUNNING.forEach(ServerProcess::close);
    }

    @Override
    public void close() {
        RUNNING.remove(this);
        process.destroy();
        try {
            process.onExit().get(STOP_SECONDS, TimeUnit.SECONDS);
        } catch (TimeoutException | ExecutionException _) {
            process.destroyForcibly();
        } catch (InterruptedException _) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
