package io.vmft.bench.nbd;

import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** What the rounds showed, and what it amounts to. */
final class Samples {
    private static final double VS_NBDKIT = 1.0;
    private static final double VS_QEMU_NBD = 1.5;
    private static final double CPU = 1.5;
    private static final double LATENCY = 1.0;
    private static final String OURS = ServerKind.BLK_SERVER.toString();
    private static final String NBDKIT = ServerKind.NBDKIT.toString();

    private record Key(String row, String label) {}

    /** One of a sample's figures. */
    interface Column {
        double of(Fio.Sample sample);
    }

    private final Map<Key, List<Fio.Sample>> rounds = new HashMap<>();

    void add(String row, String label, Fio.Sample sample) {
        rounds.computeIfAbsent(new Key(row, label), _ -> new ArrayList<>()).add(sample);
    }

    List<Double> column(Row row, String label, Column column) {
        return rounds.getOrDefault(new Key(row.name(), label), List.of()).stream()
                .map(column::of)
                .toList();
    }

    Result ratio(Row row, String name, String ours, String other, Column column) {
        return Result.ratio(row.name() + "/" + name, column(row, ours, column), column(row, other, column));
    }

    /** What each contender reached by itself. */
    List<Result> figures(Row row) {
        List<Result> results = new ArrayList<>();
        for (Contender contender : row.contenders()) {
            String label = contender.label();
            String name = row.name() + "/" + label;
            results.add(Result.of(name, "op/s", column(row, label, Fio.Sample::operationsPerSecond)));
            results.add(Result.of(name + "/cpu", "us/op", column(row, label, Fio.Sample::cpuMicrosPerOperation)));
            results.add(Result.of(name + "/p99", "us", column(row, label, Fio.Sample::p99Micros)));
        }
        return results;
    }

    /** A row of an unprotected volume: figures of each server, then ours as ratios. */
    List<Result> results(Row row) {
        List<Result> results = new ArrayList<>(figures(row));
        Workload workload = row.workload();
        for (ServerKind other : ServerKind.values()) {
            if (other != ServerKind.BLK_SERVER) {
                results.add(target(
                        ratio(row, "vs-" + other, OURS, other.toString(), Fio.Sample::operationsPerSecond),
                        other,
                        workload));
            }
        }
        results.add(ratio(row, "cpu-vs-nbdkit", OURS, NBDKIT, Fio.Sample::cpuMicrosPerOperation)
                .withTarget(Direction.LOWER_IS_BETTER, CPU));
        Result latency = ratio(row, "p99-vs-nbdkit", OURS, NBDKIT, Fio.Sample::p99Micros);
        results.add(workload.isSmallAndDeep() ? latency.withTarget(Direction.LOWER_IS_BETTER, LATENCY) : latency);
        return results;
    }

    private static Result target(Result ratio, ServerKind other, Workload workload) {
        boolean demanding = workload.isSmallAndDeep() || workload.isLarge() || workload.sync();
        return switch (other) {
            case NBDKIT -> demanding ? ratio.withTarget(Direction.HIGHER_IS_BETTER, VS_NBDKIT) : ratio;
            case QEMU_NBD ->
                workload.isSmallAndDeep() ? ratio.withTarget(Direction.HIGHER_IS_BETTER, VS_QEMU_NBD) : ratio;
            case BLK_SERVER, NBD_SERVER -> ratio;
        };
    }
}
