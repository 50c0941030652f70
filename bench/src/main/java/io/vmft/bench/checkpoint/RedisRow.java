package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Redis in the guest, written to from outside: every answer waits for its epoch's commit, so the clients keep enough requests on their way. The
 * peer is the same VM under an engine without a standby; both stand still in turn.
 */
final class RedisRow {
    private static final double TARGET = 0.7;
    private static final String ALONE_ADDRESS = "10.78.0.101";
    private static final int CLIENTS = 200;
    private static final int PIPELINE = 32;
    private static final int WARM_UP_REQUESTS = 100_000;
    private static final int PATIENCE_SECONDS = 120;
    private static final int POLL_MILLIS = 200;
    private static final Pattern SHARED = Pattern.compile("(/\\S+)");
    private static final Pattern RATE = Pattern.compile("\"SET\",\"([0-9.]+)\"");

    private RedisRow() {}

    /** Puts Redis, as it is installed here, on a guest's disk. */
    static void install(Path image) throws IOException, InterruptedException {
        Path server = Path.of("/usr/bin/redis-server");
        if (!Files.exists(server)) {
            throw new IOException(server + " is missing; apt-get install redis-server redis-tools");
        }
        List<Path> files = new ArrayList<>(List.of(server));
        Matcher shared = SHARED.matcher(output(List.of("ldd", server.toString())));
        while (shared.find()) {
            files.add(Path.of(shared.group(1)));
        }
        StringBuilder commands = new StringBuilder();
        for (Path file : files) {
            for (int depth = 1; depth < file.getNameCount(); depth++) {
                commands.append("mkdir /").append(file.subpath(0, depth)).append('\n');
            }
            commands.append("write ")
                    .append(file.toRealPath())
                    .append(' ')
                    .append(file)
                    .append('\n');
        }
        Path script = Files.writeString(image.resolveSibling("debugfs"), commands);
        Ground.command("/sbin/debugfs", "-w", "-f", script.toString(), image.toString());
    }

    /** @param kind a guest whose work is Redis */
    static List<Result> run(Ground ground, BlockServer storage, GuestKind kind, BenchSettings settings, PrintWriter out)
            throws IOException, InterruptedException {
        EngineVm alone = EngineVm.alone(ground, storage, kind.at(ALONE_ADDRESS), "bare");
        EngineVm guarded = EngineVm.protect(ground, storage, kind, "vm");
        awaitRedis(ground, ALONE_ADDRESS);
        awaitRedis(ground, Ground.GUEST_ADDRESS);
        alone.pause();
        double speed = rate(ground, Ground.GUEST_ADDRESS, WARM_UP_REQUESTS);
        if (settings.warmUpSeconds() > 0) {
            speed = rate(ground, Ground.GUEST_ADDRESS, requestsOf(settings.warmUpSeconds(), speed));
        }
        int requests = requestsOf(settings.seconds(), speed);
        List<Double> bare = new ArrayList<>();
        List<Double> ours = new ArrayList<>();
        for (int round = 1; round <= settings.rounds(); round++) {
            out.printf("%s: round %d of %d%n", kind.name(), round, settings.rounds());
            out.flush();
            guarded.pause();
            alone.resume();
            bare.add(rate(ground, ALONE_ADDRESS, requests));
            alone.pause();
            guarded.resume();
            ours.add(rate(ground, Ground.GUEST_ADDRESS, requests));
        }
        guarded.end();
        alone.end();
        return List.of(
                Result.of(kind.name() + "/alone", "SET/s", bare),
                Result.of(kind.name() + "/protected", "SET/s", ours),
                Result.ratio(kind.name() + "/protected-vs-alone", ours, bare)
                        .withTarget(Direction.HIGHER_IS_BETTER, TARGET));
    }

    private static int requestsOf(int seconds, double speed) {
        return (int) Math.max(WARM_UP_REQUESTS, speed * seconds);
    }

    private static void awaitRedis(Ground ground, String address) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        List<String> ping = ground.inside(List.of("redis-cli", "-h", address, "ping"));
        while (!output(ping).contains("PONG")) {
            if (System.nanoTime() > deadline) {
                throw new IOException("Redis in the guest does not answer on " + address);
            }
            Thread.sleep(POLL_MILLIS);
        }
    }

    private static double rate(Ground ground, String address, int requests) throws IOException, InterruptedException {
        String said = output(ground.inside(List.of(
                "redis-benchmark",
                "-h",
                address,
                "-t",
                "set",
                "-c",
                Integer.toString(CLIENTS),
                "-P",
                Integer.toString(PIPELINE),
                "-n",
                Integer.toString(requests),
                "-r",
                "100000",
                "--csv")));
        Matcher rate = RATE.matcher(said);
        if (!rate.find()) {
            throw new IOException("redis-benchmark said: " + said.strip());
        }
        return Double.parseDouble(rate.group(1));
    }

    private static String output(List<String> command) throws IOException, InterruptedException {
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        process.waitFor();
        return said;
    }
}
