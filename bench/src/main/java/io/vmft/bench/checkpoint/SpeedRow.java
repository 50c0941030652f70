package io.vmft.bench.checkpoint;

import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** How fast a guest works protected, beside the same guest alone with its disk on qemu-nbd, in turn. */
final class SpeedRow {
    private static final long SETTLE_NANOS = TimeUnit.MILLISECONDS.toNanos(500);
    /** An engine keeps its last 2,000 epochs: so often they are fetched. */
    private static final int FETCH_SECONDS = 10;
    /** What a CPU-bound guest may lose beyond its pauses. */
    private static final double SLACK = 0.05;

    /** Reads how much work a guest has done since it booted. */
    interface Counter {
        long read(java.nio.file.Path serial, java.nio.file.Path ram) throws IOException, InterruptedException;
    }

    private SpeedRow() {}

    /** The share of speed that is left must be at least {@code target}; 0: no target. */
    static List<Result> run(
            Ground ground,
            BlockServer storage,
            GuestKind kind,
            Counter counter,
            double target,
            boolean cpuBound,
            BenchSettings settings,
            PrintWriter out)
            throws IOException, InterruptedException {
        String name = kind.name();
        out.println(name + ": booting and protecting");
        out.flush();
        String nbd = kind.isLinux() ? QemuNbd.serve(ground, "bare") : storage.nbd();
        BareVm bare = BareVm.start(ground, nbd, kind, "bare");
        EngineVm vm = EngineVm.protect(ground, storage, kind, "vm");
        counter.read(bare.serial(), bare.ram());
        bare.stop();
        counter.read(vm.serial(), vm.ram());
        TimeUnit.SECONDS.sleep(settings.warmUpSeconds());

        List<Double> alone = new ArrayList<>();
        List<Double> guarded = new ArrayList<>();
        List<Double> paused = new ArrayList<>();
        List<Double> processorTime = new ArrayList<>();
        List<OwnProcess> vmft = List.of(storage.process(), vm.primary(), vm.standby());
        for (int round = 1; round <= settings.rounds(); round++) {
            out.printf("%s: round %d of %d%n", name, round, settings.rounds());
            out.flush();
            vm.pause();
            bare.cont();
            alone.add(perSecond(() -> counter.read(bare.serial(), bare.ram()), settings.seconds(), () -> {}));
            bare.stop();
            vm.resume();
            TimeUnit.NANOSECONDS.sleep(SETTLE_NANOS);
            vm.epochs();
            List<Epoch> epochs = new ArrayList<>();
            Fetching fetch = () -> epochs.addAll(vm.epochs());
            long used = ProcessorTime.besideGuests(vmft);
            long start = System.nanoTime();
            guarded.add(perSecond(() -> counter.read(vm.serial(), vm.ram()), settings.seconds(), fetch));
            long length = System.nanoTime() - start;
            fetch.now();
            used = ProcessorTime.besideGuests(vmft) - used;
            processorTime.add(used / 1e6 / Math.max(1, epochs.size()));
            paused.add(epochs.stream().mapToLong(Epoch::pause).sum() / (double) length);
        }
        vm.end();
        bare.close();

        List<Result> results = new ArrayList<>();
        results.add(Result.of(name + "/alone", "1/s", alone));
        results.add(Result.of(name + "/protected", "1/s", guarded));
        results.add(Result.of(name + "/share-of-time-paused", "ratio", paused));
        results.add(Result.of(name + "/processor-time-beside-guest", "ms/epoch", processorTime));
        Result ratio = Result.ratio(name + "/protected-vs-alone", guarded, alone);
        results.add(target > 0 ? ratio.withTarget(Direction.HIGHER_IS_BETTER, target) : ratio);
        if (cpuBound) {
            List<Double> beyond = new ArrayList<>();
            for (int i = 0; i < alone.size(); i++) {
                beyond.add(1 - guarded.get(i) / alone.get(i) - paused.get(i));
            }
            results.add(Result.of(name + "/slowdown-beyond-pauses", "ratio", beyond)
                    .withTarget(Direction.LOWER_IS_BETTER, SLACK));
        }
        return results;
    }

    private interface Reading {
        long now() throws IOException, InterruptedException;
    }

    private interface Fetching {
        void now() throws IOException;
    }

    private static double perSecond(Reading reading, int seconds, Fetching fetch)
            throws IOException, InterruptedException {
        TimeUnit.NANOSECONDS.sleep(SETTLE_NANOS);
        long before = reading.now();
        long start = System.nanoTime();
        for (int left = seconds; left > 0; left -= FETCH_SECONDS) {
            TimeUnit.SECONDS.sleep(Math.min(left, FETCH_SECONDS));
            fetch.now();
        }
        long after = reading.now();
        return (after - before) / ((System.nanoTime() - start) / 1e9);
    }
}
