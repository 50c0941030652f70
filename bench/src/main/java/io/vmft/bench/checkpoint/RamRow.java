package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The pause against the size of guest RAM and against dirty pages, with the test guest; drawn if a file for that is named. */
final class RamRow {
    private static final int[] SIZES_MIB = {256, 512, 1024, 2048, 4096, 8192};
    private static final int[] DIRTY_PAGES = {64, 500, 1000, 2000, 4000, 8000, 16000};
    private static final int FEW_PAGES = 64;
    private static final int DIRTY_MIB = 512;
    private static final int WARM_UP_SECONDS = 8;

    private record Point(double pauseMillis, double workMillis, double dirtyPages) {}

    private RamRow() {}

    static List<Result> run(Ground ground, BlockServer storage, BenchSettings settings, PrintWriter out)
            throws IOException, InterruptedException {
        List<Result> results = new ArrayList<>();
        Plot.Line pauseBySize = new Plot.Line("pause, median", new ArrayList<>());
        Plot.Line workBySize = new Plot.Line("of it: harvest and copy", new ArrayList<>());
        for (int mib : SIZES_MIB) {
            Point point = measure(ground, storage, mib, FEW_PAGES, settings, out, results);
            pauseBySize.points().add(new Plot.Point(mib / 1024.0, point.pauseMillis()));
            workBySize.points().add(new Plot.Point(mib / 1024.0, point.workMillis()));
        }
        Plot.Line pauseByDirty = new Plot.Line("pause, median", new ArrayList<>());
        Plot.Line workByDirty = new Plot.Line("of it: harvest and copy", new ArrayList<>());
        for (int pages : DIRTY_PAGES) {
            Point point = measure(ground, storage, DIRTY_MIB, pages, settings, out, results);
            pauseByDirty.points().add(new Plot.Point(point.dirtyPages(), point.pauseMillis()));
            workByDirty.points().add(new Plot.Point(point.dirtyPages(), point.workMillis()));
        }
        Path plot = settings.plot();
        if (plot != null) {
            Files.writeString(
                    plot,
                    Plot.svg(List.of(
                            new Plot.Chart(
                                    "Pause against guest RAM (" + FEW_PAGES + " pages written an epoch)",
                                    "GiB",
                                    "ms",
                                    List.of(pauseBySize, workBySize)),
                            new Plot.Chart(
                                    "Pause against dirty pages (" + DIRTY_MIB + " MiB of RAM)",
                                    "pages",
                                    "ms",
                                    List.of(pauseByDirty, workByDirty)))));
        }
        return results;
    }

    private static Point measure(
            Ground ground,
            BlockServer storage,
            int mib,
            int pages,
            BenchSettings settings,
            PrintWriter out,
            List<Result> results)
            throws IOException, InterruptedException {
        String name = "ram/" + mib + "-MiB/" + pages + "-pages";
        out.println(name);
        out.flush();
        GuestKind kind = GuestKind.writer(name, "tcg", mib, pages, 0);
        EngineVm vm = EngineVm.protect(ground, storage, kind, "vm");
        try {
            TimeUnit.SECONDS.sleep(WARM_UP_SECONDS);
            vm.epochs();
            TimeUnit.SECONDS.sleep(settings.seconds());
            List<Epoch> epochs = vm.epochs();
            double pause = Percentile.millis(epochs.stream().map(Epoch::pause).toList(), 50);
            double work = Percentile.millis(
                    epochs.stream().map(each -> each.copied() - each.closed()).toList(), 50);
            double dirty = Percentile.of(epochs.stream().map(Epoch::dirtyPages).toList(), 50);
            results.add(Result.of(name + "/pause", "ms", List.of(pause)));
            results.add(Result.of(name + "/harvest-and-copy", "ms", List.of(work)));
            results.add(Result.of(name + "/dirty-pages", "pages", List.of(dirty)));
            return new Point(pause, work, dirty);
        } finally {
            vm.end();
        }
    }
}
