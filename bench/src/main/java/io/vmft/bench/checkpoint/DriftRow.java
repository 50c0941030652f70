package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/**
 * Many epochs: the pause and the memory of every process in tenths of the run, the last beside the second. After each tenth the bare command is
 * measured on a second VM, while the first stands still: a pause that grew as much as that did is the machine's.
 */
final class DriftRow {
    /** Short: what grows with the number of epochs shows sooner. */
    static final int EPOCH_MILLIS = 5;

    private static final int PARTS = 10;
    private static final int POLL_SECONDS = 5;
    private static final long EPOCH_NANOS = TimeUnit.MILLISECONDS.toNanos(EPOCH_MILLIS);
    private static final long FLOOR_NANOS = TimeUnit.SECONDS.toNanos(5);
    private static final double PAUSE_GROWTH = 1.15;
    private static final double MEMORY_GROWTH = 1.1;

    private DriftRow() {}

    static List<Result> run(Ground ground, BlockServer storage, GuestKind kind, BenchSettings settings, PrintWriter out)
            throws IOException, InterruptedException {
        BareVm bare = BareVm.start(ground, storage.nbd(), kind, "bare");
        EngineVm vm = EngineVm.protect(ground, storage, kind, "vm");
        bare.stop();
        List<Double> floors = new ArrayList<>();
        List<Double> pauses = new ArrayList<>();
        List<Double> primary = new ArrayList<>();
        List<Double> standby = new ArrayList<>();
        List<Double> server = new ArrayList<>();
        for (int part = 1; part <= PARTS; part++) {
            vm.epochs();
            List<Long> nanos = new ArrayList<>();
            while (nanos.size() < settings.epochs() / PARTS) {
                TimeUnit.SECONDS.sleep(POLL_SECONDS);
                vm.epochs().forEach(each -> nanos.add(each.pause()));
            }
            pauses.add(Percentile.millis(nanos, 50));
            floors.add(Percentile.millis(bare.pausesInPlaceOf(vm, EPOCH_NANOS, FLOOR_NANOS), 50));
            primary.add(vm.primary().residentBytes() / 1048576.0);
            standby.add(vm.standby().residentBytes() / 1048576.0);
            server.add(storage.process().residentBytes() / 1048576.0);
            out.printf(
                    "drift: part %d of %d: %d epochs, pause %.3f ms, floor %.3f ms, primary %.0f, standby %.0f, blk-server %.0f MiB%n",
                    part,
                    PARTS,
                    nanos.size(),
                    pauses.getLast(),
                    floors.getLast(),
                    primary.getLast(),
                    standby.getLast(),
                    server.getLast());
            out.flush();
        }
        vm.end();
        bare.close();
        List<Double> ratios = new ArrayList<>();
        for (int part = 0; part < PARTS; part++) {
            ratios.add(pauses.get(part) / floors.get(part));
        }
        return List.of(
                Result.of("drift/pause", "ms", pauses),
                Result.of("drift/floor", "ms", floors),
                Result.of("drift/pause-vs-floor", "ratio", ratios),
                growth("drift/pause-vs-floor-growth", ratios, PAUSE_GROWTH),
                Result.of("drift/primary", "MiB", primary),
                growth("drift/primary-growth", primary, MEMORY_GROWTH),
                Result.of("drift/standby", "MiB", standby),
                growth("drift/standby-growth", standby, MEMORY_GROWTH),
                Result.of("drift/blk-server", "MiB", server),
                growth("drift/blk-server-growth", server, MEMORY_GROWTH));
    }

    /** The first part is the start's. */
    private static Result growth(String name, List<Double> parts, double limit) {
        return Result.of(name, "ratio", List.of(parts.getLast() / parts.get(1)))
                .withTarget(Direction.LOWER_IS_BETTER, limit);
    }
}
