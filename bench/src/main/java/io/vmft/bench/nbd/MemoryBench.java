package io.vmft.bench.nbd;

import io.vmft.bench.Bench;
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

/**
 * How much memory blk-server needs under full load for minutes, and whether it grows: several connections with small and large
 * requests on a protected volume whose epochs are committed, and on an unprotected one.
 */
public final class MemoryBench implements Bench {
    private static final int SAMPLE_MILLIS = 500;
    private static final double MAX_RESIDENT_MIB = 512;
    /** Of the median of the run's second fifth. */
    private static final double MAX_GROWTH = 1.05;

    private static final String GUARDED = "guarded";

    @Override
    public String name() {
        return "memory";
    }

    @Override
    public String description() {
        return "blk-server's resident memory under full load on ten connections for --minutes: bound and growth";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        Path folder = Images.folder(settings.folder(), "memory");
        Place place = Place.in(folder, true);
        Path image = place.image();
        Path guarded = folder.resolve(GUARDED + ".img");
        try {
            Images.make(image);
            Images.make(guarded);
            List<String> command =
                    BlkServerCommand.of(place, List.of(ServerKind.EXPORT + "=" + image, GUARDED + "=" + guarded));
            try (ServerProcess server = ServerProcess.start(ServerKind.BLK_SERVER, place, command);
                    EpochDriver epochs = new EpochDriver(server.controlAddress(), GUARDED)) {
                epochs.start();
                List<Result> results = underLoad(server, epochs, folder, settings.minutes(), progress);
                epochs.stop();
                results.addAll(epochs.results("memory/"));
                return results;
            }
        } finally {
            Images.delete(folder);
        }
    }

    private static List<Result> underLoad(
            ServerProcess server, EpochDriver epochs, Path folder, int minutes, PrintWriter progress)
            throws IOException, InterruptedException {
        List<Process> load = new ArrayList<>();
        List<Double> residentMib = new ArrayList<>();
        try {
            String plain = server.uri(ServerKind.EXPORT);
            load.add(load(plain, "4k", 32, 5, minutes, folder));
            load.add(load(plain, "1m", 8, 4, minutes, folder));
            // A VM's disk has one connection.
            load.add(load(server.uri(epochs.export()), "4k/60:64k/30:1m/10", 32, 1, minutes, folder));
            long samples = TimeUnit.MINUTES.toMillis(minutes) / SAMPLE_MILLIS;
            for (long sample = 1; sample <= samples; sample++) {
                Thread.sleep(SAMPLE_MILLIS);
                residentMib.add(server.residentBytes() / 1048576.0);
                for (Process each : load) {
                    if (!each.isAlive() && each.exitValue() != 0) {
                        throw new IOException("fio failed: " + log(folder));
                    }
                }
                if (sample % (30_000 / SAMPLE_MILLIS) == 0) {
                    progress.printf("after %d s: %.0f MiB%n", sample * SAMPLE_MILLIS / 1000, residentMib.getLast());
                    progress.flush();
                }
            }
        } finally {
            load.forEach(Process::destroy);
            for (Process each : load) {
                each.waitFor();
            }
        }
        int fifth = residentMib.size() / 5;
        Result early = Result.of("memory/early", "MiB", residentMib.subList(fifth, 2 * fifth));
        Result late = Result.of("memory/late", "MiB", residentMib.subList(4 * fifth, residentMib.size()));
        return new ArrayList<>(List.of(
                Result.of("memory/peak", "MiB", List.of(server.peakResidentBytes() / 1048576.0))
                        .withTarget(Direction.LOWER_IS_BETTER, MAX_RESIDENT_MIB),
                early,
                late,
                Result.ratio("memory/late-vs-early", List.of(late.median()), List.of(early.median()))
                        .withTarget(Direction.LOWER_IS_BETTER, MAX_GROWTH)));
    }

    private static Process load(String uri, String blocks, int depth, int connections, int minutes, Path folder)
            throws IOException {
        return new ProcessBuilder(
                        "fio",
                        "--name=load",
                        "--ioengine=nbd",
                        "--uri=" + uri,
                        "--rw=randrw",
                        (blocks.contains(":") ? "--bssplit=" : "--bs=") + blocks,
                        "--iodepth=" + depth,
                        "--numjobs=" + connections,
                        "--thread",
                        "--size=" + Images.MIB + "m",
                        "--time_based",
                        "--runtime=" + (minutes * 60 + 10),
                        "--output=" + folder.resolve("fio.log"))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        folder.resolve("fio-errors.log").toFile()))
                .start();
    }

    private static String log(Path folder) throws IOException {
        return Files.readString(folder.resolve("fio-errors.log"), StandardCharsets.UTF_8)
                .lines()
                .findFirst()
                .orElse("it said nothing");
    }
}
