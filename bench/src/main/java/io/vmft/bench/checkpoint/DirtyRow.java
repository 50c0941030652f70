package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** What finding and copying dirty pages adds to a pause, beside a plain copy of as many bytes on the same machine, in turn. */
final class DirtyRow {
    private static final double VS_MEMCPY = 1.5;
    private static final long SETTLE_NANOS = TimeUnit.MILLISECONDS.toNanos(300);
    private static final int WARM_UP_SECONDS = 5;
    private static final int COPIES = 40;
    private static final int PAGE_BYTES = 4096;

    private DirtyRow() {}

    static List<Result> run(
            Ground ground, BlockServer storage, GuestKind kind, int pages, BenchSettings settings, PrintWriter out)
            throws IOException, InterruptedException {
        String name = kind.name();
        EngineVm vm = EngineVm.protect(ground, storage, kind, "vm");
        TimeUnit.SECONDS.sleep(WARM_UP_SECONDS);
        List<Double> added = new ArrayList<>();
        List<Double> plain = new ArrayList<>();
        List<Double> dirty = new ArrayList<>();
        List<Double> inPause = new ArrayList<>();
        List<Double> harvest = new ArrayList<>();
        try (Arena arena = Arena.ofConfined()) {
            Memcpy memcpy = new Memcpy(arena, (long) pages * PAGE_BYTES);
            for (int round = 1; round <= settings.rounds(); round++) {
                out.printf("%s: round %d of %d%n", name, round, settings.rounds());
                out.flush();
                vm.pause();
                plain.add(memcpy.medianMillis());
                vm.resume();
                TimeUnit.NANOSECONDS.sleep(SETTLE_NANOS);
                vm.epochs();
                TimeUnit.SECONDS.sleep(settings.seconds());
                List<Epoch> epochs = vm.epochs();
                added.add(Percentile.millis(
                        epochs.stream()
                                .map(each -> each.copied() - each.closed())
                                .toList(),
                        50));
                harvest.add(Percentile.millis(
                        epochs.stream()
                                .map(each -> each.found() - each.closed())
                                .toList(),
                        50));
                dirty.add(Percentile.of(epochs.stream().map(Epoch::dirtyPages).toList(), 50));
                inPause.add(Percentile.of(
                        epochs.stream()
                                .map(each -> each.dirtyPages() - each.preCopiedPages())
                                .toList(),
                        50));
            }
        }
        vm.end();
        // Pages are counted as they come: the ratio is for as many bytes as were copied in the pause.
        List<Double> fair = new ArrayList<>();
        for (int i = 0; i < plain.size(); i++) {
            fair.add(plain.get(i) * inPause.get(i) / pages);
        }
        return List.of(
                Result.of(name + "/dirty-pages", "pages", dirty),
                Result.of(name + "/pages-in-pause", "pages", inPause),
                Result.of(name + "/harvest", "ms", harvest),
                Result.of(name + "/harvest-and-copy", "ms", added),
                Result.of(name + "/memcpy", "ms", fair),
                Result.ratio(name + "/vs-memcpy", added, fair).withTarget(Direction.LOWER_IS_BETTER, VS_MEMCPY));
    }

    /** Copies between buffers that are too large for the processor's caches together, as a guest's memory is. */
    private static final class Memcpy {
        private static final int BUFFERS = 4;

        private final MemorySegment source;
        private final MemorySegment target;
        private final long bytes;

        Memcpy(Arena arena, long bytes) {
            this.bytes = bytes;
            source = arena.allocate(bytes * BUFFERS, PAGE_BYTES).fill((byte) 1);
            target = arena.allocate(bytes * BUFFERS, PAGE_BYTES).fill((byte) 2);
        }

        double medianMillis() {
            List<Long> nanos = new ArrayList<>();
            for (int i = 0; i < COPIES; i++) {
                long at = i % BUFFERS * bytes;
                long start = System.nanoTime();
                MemorySegment.copy(source, at, target, at, bytes);
                nanos.add(System.nanoTime() - start);
            }
            return Percentile.millis(nanos, 50);
        }
    }
}
