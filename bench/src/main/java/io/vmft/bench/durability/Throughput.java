package io.vmft.bench.durability;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.JournalSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * Blocks as fast as one thread can write them, made durable every {@value #EPOCH_MILLIS} ms: a bare file, the journal, and a server
 * whose applier works beside. In turn within each round.
 */
final class Throughput {
    private static final int EPOCH_MILLIS = 25;
    private static final int CLOCK_EVERY_BYTES = 128 << 10;
    private static final long VOLUME_BYTES = 256 << 20;
    private static final double SHARE_OF_BARE = 0.6;
    private static final double P99_OF_BARE = 3;

    private Throughput() {}

    /** What one contender did in one round. */
    private record Sample(double mebibytesPerSecond, double p50Millis, double p99Millis) {}

    private record Contender(String name, DurableLog log, List<Sample> samples) {
        Contender(String name, DurableLog log) {
            this(name, log, new ArrayList<>());
        }
    }

    static List<Result> run(Path folder, BenchSettings settings, PrintWriter progress) throws IOException {
        List<Result> results = new ArrayList<>();
        for (int blockBytes : new int[] {4 << 10, 64 << 10}) {
            String name = "throughput/" + (blockBytes >> 10) + "k";
            if (settings.wants(name)) {
                Path own = Files.createDirectories(folder.resolve(Integer.toString(blockBytes)));
                results.addAll(run(name, own, blockBytes, settings, progress));
            }
        }
        return results;
    }

    private static List<Result> run(
            String name, Path folder, int blockBytes, BenchSettings settings, PrintWriter progress) throws IOException {
        try (Arena arena = Arena.ofShared();
                BareJournal journal = new BareJournal(folder.resolve("bare-journal"), StoreFiles.SYSTEM);
                BlkServer server = Servers.start(
                        Files.createDirectories(folder.resolve("server")),
                        VOLUME_BYTES,
                        JournalSettings.DEFAULT.limitBytes())) {
            MemorySegment block = arena.allocate(blockBytes, 4096).fill((byte) 'x');
            List<Contender> contenders = List.of(
                    new Contender("bare", new BareFile(folder, block)),
                    new Contender("journal", journal.lane(1, block)),
                    new Contender("server", new ServerLog(server, Servers.VOLUME, block)));
            for (int round = 0; round <= settings.rounds(); round++) {
                progress.printf("%s: round %d of %d%n", name, round, settings.rounds());
                progress.flush();
                for (int i = 0; i < contenders.size(); i++) {
                    Contender contender = contenders.get((i + round) % contenders.size());
                    Sample sample = measure(contender.log(), blockBytes, settings.seconds());
                    awaitApplied(server);
                    if (round > 0) { // the first warms up
                        contender.samples().add(sample);
                    }
                }
            }
            for (Contender contender : contenders) {
                contender.log().close();
            }
            return results(name, contenders);
        }
    }

    private static Sample measure(DurableLog log, int blockBytes, int seconds) throws IOException {
        Histogram commitNanos = new Histogram(3);
        long begin = System.nanoTime();
        long end = begin + TimeUnit.SECONDS.toNanos(seconds);
        long epochNanos = TimeUnit.MILLISECONDS.toNanos(EPOCH_MILLIS);
        int clockEvery = Math.max(1, CLOCK_EVERY_BYTES / blockBytes);
        long blocks = 0;
        long now = begin;
        while (now < end) {
            long epochEnd = now + epochNanos;
            while (System.nanoTime() < epochEnd) {
                for (int i = 0; i < clockEvery; i++) {
                    log.append();
                }
                blocks += clockEvery;
            }
            long before = System.nanoTime();
            log.commit();
            now = System.nanoTime();
            commitNanos.recordValue(now - before);
        }
        return new Sample(
                blocks * (double) blockBytes / (1 << 20) / ((now - begin) / 1e9),
                commitNanos.getValueAtPercentile(50) / 1e6,
                commitNanos.getValueAtPercentile(99) / 1e6);
    }

    /** What the server still does is not to be the next one's burden. */
    private static void awaitApplied(BlkServer server) throws IOException {
        try {
            while (!server.volumes().all().stream()
                    .allMatch(volume -> volume.overlay().isEmpty())) {
                Thread.sleep(10);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(e);
        }
    }

    private static List<Result> results(String name, List<Contender> contenders) {
        Map<String, List<Sample>> samples = new LinkedHashMap<>();
        contenders.forEach(contender -> samples.put(contender.name(), contender.samples()));
        List<Result> results = new ArrayList<>();
        List<Sample> bare = contenders.getFirst().samples();
        samples.forEach((who, measured) -> {
            results.add(Result.of(name + "/" + who, "MiB/s", column(measured, Sample::mebibytesPerSecond)));
            results.add(Result.of(name + "/" + who + "/commit-p50", "ms", column(measured, Sample::p50Millis)));
            results.add(Result.of(name + "/" + who + "/commit-p99", "ms", column(measured, Sample::p99Millis)));
        });
        List<Sample> journal = contenders.get(1).samples();
        results.add(Result.ratio(
                        name + "/journal÷bare",
                        column(journal, Sample::mebibytesPerSecond),
                        column(bare, Sample::mebibytesPerSecond))
                .withTarget(Direction.HIGHER_IS_BETTER, SHARE_OF_BARE));
        results.add(Result.ratio(
                        name + "/commit-p99/journal÷bare",
                        column(journal, Sample::p99Millis),
                        column(bare, Sample::p99Millis))
                .withTarget(Direction.LOWER_IS_BETTER, P99_OF_BARE));
        return results;
    }

    private interface Column {
        double of(Sample sample);
    }

    private static List<Double> column(List<Sample> samples, Column column) {
        return samples.stream().map(column::of).toList();
    }
}
