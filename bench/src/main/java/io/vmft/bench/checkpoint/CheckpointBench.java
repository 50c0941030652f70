package io.vmft.bench.checkpoint;

import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What a checkpoint costs the guest, beside what QEMU alone costs it. */
public final class CheckpointBench implements Bench {
    static final int EPOCH_MILLIS = 25;
    static final long EPOCH_NANOS = TimeUnit.MILLISECONDS.toNanos(EPOCH_MILLIS);

    private static final int BUSY_PAGES = 64;
    private static final int MANY_PAGES = 4000;
    private static final double CPU_SHARE = 0.85;
    private static final double FSYNC_SHARE = 1.0;

    /** One thing to measure, with machines of its own. */
    private interface Row {
        List<Result> run(Ground ground, BlockServer storage, BenchSettings settings, PrintWriter out)
                throws IOException, InterruptedException;
    }

    private record Named(String name, boolean needsKvm, BlockServer.Preparation disk, Row row) {
        Named(String name, boolean needsKvm, Row row) {
            this(name, needsKvm, BlockServer.Preparation.NONE, row);
        }
    }

    private static final GuestKind BUSY = GuestKind.linux("linux", "vmft.load=16");
    private static final GuestKind HASHING = GuestKind.linux("cpu-linux", "vmft.work=cpu");
    private static final GuestKind REDIS = GuestKind.linux("redis", "vmft.work=redis");

    private static final GuestKind DRIFTING =
            GuestKind.linux("drift", "vmft.load=16").with("epoch", DriftRow.EPOCH_MILLIS + "ms");

    private static final List<Named> ROWS = List.of(
            pause(BUSY, false),
            pause(BUSY.legacy(), false),
            pause(GuestKind.linux("linux-nice", "vmft.load=16").with("nice", "-10"), false),
            pause(GuestKind.writer("test-guest", "tcg", 64, BUSY_PAGES, 1000), false),
            pause(GuestKind.writer("test-guest-kvm", "kvm", 64, BUSY_PAGES, 1000), true),
            dirty(GuestKind.writer("dirty", "tcg", 256, MANY_PAGES, 0), false),
            dirty(GuestKind.writer("dirty-kvm", "kvm", 256, MANY_PAGES, 0), true),
            speed(GuestKind.writer("cpu-test-guest", "tcg", 64, BUSY_PAGES, 0), Counters::testGuest, 0, true, false),
            speed(GuestKind.writer("cpu-test-guest-kvm", "kvm", 64, BUSY_PAGES, 0), Counters::testGuest, 0, true, true),
            speed(HASHING, Counters::linuxWork, CPU_SHARE, true, false),
            speed(HASHING.legacy(), Counters::linuxWork, CPU_SHARE, true, false),
            speed(GuestKind.linux("fsync-linux", "vmft.work=fsync"), Counters::linuxWork, FSYNC_SHARE, false, false),
            redis(REDIS),
            redis(REDIS.legacy()),
            new Named("ram", false, RamRow::run),
            new Named(
                    "drift",
                    false,
                    (ground, storage, settings, out) -> DriftRow.run(ground, storage, DRIFTING, settings, out)));

    private static Named redis(GuestKind kind) {
        return new Named(
                kind.name(),
                false,
                RedisRow::install,
                (ground, storage, settings, out) -> RedisRow.run(ground, storage, kind, settings, out));
    }

    private static Named dirty(GuestKind kind, boolean needsKvm) {
        return new Named(
                kind.name(),
                needsKvm,
                (ground, storage, settings, out) -> DirtyRow.run(ground, storage, kind, MANY_PAGES, settings, out));
    }

    private static Named speed(
            GuestKind kind, SpeedRow.Counter counter, double target, boolean cpuBound, boolean needsKvm) {
        return new Named(
                kind.name(),
                needsKvm,
                (ground, storage, settings, out) ->
                        SpeedRow.run(ground, storage, kind, counter, target, cpuBound, settings, out));
    }

    private static Named pause(GuestKind kind, boolean needsKvm) {
        return new Named(
                kind.name(),
                needsKvm,
                (ground, storage, settings, out) -> PauseRow.run(ground, storage, kind, settings, out));
    }

    @Override
    public String name() {
        return "checkpoint";
    }

    @Override
    public String description() {
        return "pauses of a protected guest beside QEMU's own, and what is left of the guest's speed";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        List<Named> wanted =
                ROWS.stream().filter(row -> settings.wants(row.name())).toList();
        if (wanted.isEmpty()) {
            throw new IOException("nothing has such a name; there are "
                    + String.join(", ", ROWS.stream().map(Named::name).toList()));
        }
        List<Result> results = new ArrayList<>();
        for (Named row : wanted) {
            if (row.needsKvm() && !Files.isWritable(Path.of("/dev/kvm"))) {
                progress.println(row.name() + ": not measured, /dev/kvm does not open");
                progress.flush();
                continue;
            }
            try (Ground ground = new Ground(settings.folder())) {
                BlockServer storage = BlockServer.start(ground, List.of("vm", "bare"), row.disk());
                results.addAll(row.row().run(ground, storage, settings, progress));
            }
        }
        return results;
    }
}
