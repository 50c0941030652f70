package io.vmft.bench.durability;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.JournalSettings;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;

/**
 * What the disk has to write for a byte the guest wrote: journal, index and image together, as the system counts them for this process
 * ({@code write_bytes} of {@code /proc/self/io}: pages made dirty), until everything is in the image.
 */
final class Amplification {
    private static final int EPOCH_MILLIS = 25;
    private static final long VOLUME_BYTES = 1 << 30;

    private Amplification() {}

    private enum Load {
        SEQUENTIAL_1M("sequential-1m", 1 << 20, VOLUME_BYTES, 200),
        RANDOM_4K("random-4k", 4 << 10, VOLUME_BYTES, 40),
        HOT_4K("hot-16m-4k", 4 << 10, 16 << 20, 40);

        private final String title;
        private final int blockBytes;
        private final long spanBytes;
        private final int mebibytesPerSecond;

        Load(String title, int blockBytes, long spanBytes, int mebibytesPerSecond) {
            this.title = title;
            this.blockBytes = blockBytes;
            this.spanBytes = spanBytes;
            this.mebibytesPerSecond = mebibytesPerSecond;
        }
    }

    static List<Result> run(Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        List<Result> results = new ArrayList<>();
        for (Load load : Load.values()) {
            String name = "amplification/" + load.title;
            if (!settings.wants(name)) {
                continue;
            }
            progress.println(name);
            progress.flush();
            Path own = Files.createDirectories(folder.resolve(load.title));
            try (BlkServer server = Servers.start(own, VOLUME_BYTES, JournalSettings.DEFAULT.limitBytes());
                    Arena arena = Arena.ofShared()) {
                MemorySegment block = arena.allocate(load.blockBytes, 4096).fill((byte) 'x');
                try (ServerLog log = new ServerLog(server, Servers.VOLUME, block)) {
                    write(log, load, 2); // the first segments are made
                    awaitApplied(server);
                    long before = writtenBytes();
                    long guest = write(log, load, 2 * settings.seconds());
                    awaitApplied(server);
                    double ratio = (writtenBytes() - before) / (double) guest;
                    results.add(Result.of(name + "/written÷guest", "ratio", List.of(ratio)));
                    results.add(Result.of(
                            name + "/guest", "MiB/s", List.of(guest / (2.0 * settings.seconds()) / (1 << 20))));
                }
            }
        }
        return results;
    }

    /** The bytes written. */
    private static long write(ServerLog log, Load load, int seconds) throws IOException, InterruptedException {
        Random random = new Random(1);
        long blocks = load.spanBytes / load.blockBytes;
        long perEpoch = Math.max(1, ((long) load.mebibytesPerSecond << 20) * EPOCH_MILLIS / 1000 / load.blockBytes);
        long written = 0;
        long begin = System.nanoTime();
        int epochs = seconds * 1000 / EPOCH_MILLIS;
        for (int epoch = 1; epoch <= epochs; epoch++) {
            for (long i = 0; i < perEpoch; i++) {
                long block = load == Load.SEQUENTIAL_1M ? written / load.blockBytes % blocks : random.nextLong(blocks);
                log.write(block * load.blockBytes);
                written += load.blockBytes;
            }
            log.commit();
            long wait = begin + TimeUnit.MILLISECONDS.toNanos((long) epoch * EPOCH_MILLIS) - System.nanoTime();
            if (wait > 0) {
                TimeUnit.NANOSECONDS.sleep(wait);
            }
        }
        return written;
    }

    private static void awaitApplied(BlkServer server) throws InterruptedException {
        while (!server.volumes().all().stream()
                .allMatch(volume -> volume.overlay().isEmpty())) {
            Thread.sleep(10);
        }
    }

    private static long writtenBytes() throws IOException {
        return Files.readAllLines(Path.of("/proc/self/io")).stream()
                .filter(line -> line.startsWith("write_bytes: "))
                .mapToLong(line -> Long.parseLong(line.substring("write_bytes: ".length())))
                .sum();
    }
}
