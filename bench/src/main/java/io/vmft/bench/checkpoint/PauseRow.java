package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.ToLongFunction;

/**
 * Pauses of a protected guest beside those of the bare command: two VMs of the same kind on one machine, of which one stands still while the
 * other is measured, in turn.
 */
final class PauseRow {
    private static final double MEDIAN_TARGET = 1.25;
    private static final double TAIL_TARGET = 2.0;

    private PauseRow() {}

    static List<Result> run(Ground ground, BlockServer storage, GuestKind kind, BenchSettings settings, PrintWriter out)
            throws IOException, InterruptedException {
        String name = kind.name();
        out.println(name + ": booting and protecting");
        out.flush();
        BareVm bare = BareVm.start(ground, storage.nbd(), kind, "bare");
        EngineVm vm = EngineVm.protect(ground, storage, kind, "vm");
        bare.stop();
        // The JVMs of a VM that is protected for hours are warm; how long that takes is its own figure.
        List<Result> results = new ArrayList<>(warmUp(name, vm, settings));

        List<List<Long>> floor = new ArrayList<>();
        List<List<Epoch>> epochs = new ArrayList<>();
        long length = TimeUnit.SECONDS.toNanos(settings.seconds());
        for (int round = 1; round <= settings.rounds(); round++) {
            out.printf("%s: round %d of %d%n", name, round, settings.rounds());
            out.flush();
            floor.add(bare.pausesInPlaceOf(vm, CheckpointBench.EPOCH_NANOS, length));
            TimeUnit.NANOSECONDS.sleep(SETTLE_NANOS);
            vm.epochs();
            TimeUnit.NANOSECONDS.sleep(length);
            epochs.add(vm.epochs());
        }
        vm.end();
        bare.close();
        results.addAll(results(name, floor, epochs));
        return results;
    }

    private static final long SETTLE_NANOS = TimeUnit.MILLISECONDS.toNanos(300);

    private static List<Result> warmUp(String name, EngineVm vm, BenchSettings settings)
            throws IOException, InterruptedException {
        List<Result> results = new ArrayList<>();
        int done = 0;
        for (int until : new int[] {5, 20, 40}) {
            if (until > settings.warmUpSeconds()) {
                break;
            }
            vm.epochs();
            TimeUnit.SECONDS.sleep(until - done);
            List<Long> pauses = column(vm.epochs(), Epoch::pause);
            results.add(Result.of(
                    "%s/cold/seconds-%d-to-%d/p50".formatted(name, done, until),
                    "ms",
                    List.of(Percentile.millis(pauses, 50))));
            done = until;
        }
        TimeUnit.SECONDS.sleep(settings.warmUpSeconds() - done);
        return results;
    }

    private static List<Long> column(List<Epoch> epochs, ToLongFunction<Epoch> column) {
        return epochs.stream().mapToLong(column).boxed().toList();
    }

    private static List<Result> results(String name, List<List<Long>> floor, List<List<Epoch>> epochs) {
        List<Result> results = new ArrayList<>();
        for (double percent : new double[] {50, 99}) {
            String p = "/p" + (int) percent;
            List<Double> bare = floor.stream()
                    .map(round -> Percentile.millis(round, percent))
                    .toList();
            List<Double> ours = epochs.stream()
                    .map(round -> Percentile.millis(column(round, Epoch::pause), percent))
                    .toList();
            results.add(Result.of(name + "/floor" + p, "ms", bare));
            results.add(Result.of(name + "/pause" + p, "ms", ours));
            results.add(Result.ratio(name + "/pause-vs-floor" + p, ours, bare)
                    .withTarget(Direction.LOWER_IS_BETTER, percent == 50 ? MEDIAN_TARGET : TAIL_TARGET));
        }
        results.add(phase(name, "precopy", epochs, each -> each.triggered() - each.begun()));
        results.add(phase(name, "stop", epochs, each -> each.opened() - each.stopped()));
        results.add(phase(name, "state", epochs, each -> each.closed() - each.opened()));
        results.add(phase(name, "harvest", epochs, each -> each.found() - each.closed()));
        results.add(phase(name, "copy", epochs, each -> each.copied() - each.found()));
        results.add(phase(name, "resume", epochs, each -> each.resumed() - each.copied()));
        results.add(phase(name, "seal", epochs, each -> each.sealed() - each.copied()));
        results.add(phase(name, "send", epochs, each -> each.sent() - each.sealed()));
        results.add(phase(name, "complete", epochs, each -> each.completed() - each.sent()));
        results.add(phase(name, "commit", epochs, each -> each.committed() - each.completed()));
        results.add(pages(name + "/dirty-pages", epochs, Epoch::dirtyPages));
        results.add(pages(name + "/precopied-pages", epochs, Epoch::preCopiedPages));
        return results;
    }

    private static Result pages(String name, List<List<Epoch>> epochs, ToLongFunction<Epoch> count) {
        return Result.of(
                name,
                "pages",
                epochs.stream()
                        .map(round -> Percentile.of(column(round, count), 50))
                        .toList());
    }

    private static Result phase(String name, String phase, List<List<Epoch>> epochs, ToLongFunction<Epoch> length) {
        return Result.of(
                name + "/phase/" + phase,
                "ms",
                epochs.stream()
                        .map(round -> Percentile.millis(column(round, length), 50))
                        .toList());
    }
}
