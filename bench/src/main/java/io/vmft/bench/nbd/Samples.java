package io.vmft.bench.nbd;

import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the rounds of one transport showed, and what it amounts to. */
final class Samples {
    private static final double CPU_TARGET = 1.5;
    private static final double LATENCY_TARGET = 1.0;

    /** What one run of fio showed. */
    record Sample(double operationsPerSecond, double cpuMicrosPerOperation, double p99Micros) {}

    private record Key(Workload workload, Peer.Kind kind) {}

    private interface Column {
        double of(Sample sample);
    }

    private final Map<Key, List<Sample>> rounds = new HashMap<>();

    void add(Workload workload, Peer.Kind kind, Sample sample) {
        rounds.computeIfAbsent(new Key(workload, kind), _ -> new ArrayList<>()).add(sample);
    }

    /** Figures of each server, then ours as ratios. */
    List<Result> results(String prefix, Workload workload) {
        List<Result> results = new ArrayList<>();
        String name = prefix + workload.name() + "/";
        for (Peer.Kind kind : Peer.Kind.values()) {
            results.add(Result.of(name + kind, "op/s", column(workload, kind, Sample::operationsPerSecond)));
            results.add(
                    Result.of(name + kind + "/cpu", "us/op", column(workload, kind, Sample::cpuMicrosPerOperation)));
            results.add(Result.of(name + kind + "/p99", "us", column(workload, kind, Sample::p99Micros)));
        }
        results.add(ratio(name + "vs-nbdkit", workload, Peer.Kind.NBDKIT, Sample::operationsPerSecond)
                .withTarget(Direction.HIGHER_IS_BETTER, workload.vsNbdkit()));
        Result vsQemuNbd = ratio(name + "vs-qemu-nbd", workload, Peer.Kind.QEMU_NBD, Sample::operationsPerSecond);
        results.add(
                workload.vsQemuNbd() > 0
                        ? vsQemuNbd.withTarget(Direction.HIGHER_IS_BETTER, workload.vsQemuNbd())
                        : vsQemuNbd);
        results.add(ratio(name + "cpu-vs-nbdkit", workload, Peer.Kind.NBDKIT, Sample::cpuMicrosPerOperation)
                .withTarget(Direction.LOWER_IS_BETTER, CPU_TARGET));
        if (workload.comparesLatency()) {
            results.add(ratio(name + "p99-vs-nbdkit", workload, Peer.Kind.NBDKIT, Sample::p99Micros)
                    .withTarget(Direction.LOWER_IS_BETTER, LATENCY_TARGET));
        }
        return results;
    }

    private List<Double> column(Workload workload, Peer.Kind kind, Column column) {
        return rounds.getOrDefault(new Key(workload, kind), List.of()).stream()
                .map(column::of)
                .toList();
    }

    private Result ratio(String name, Workload workload, Peer.Kind other, Column column) {
        return Result.ratio(name, column(workload, Peer.Kind.BLK_SERVER, column), column(workload, other, column));
    }
}
