package io.vmft.bench.nbd;

import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.util.ArrayList;
import java.util.List;

/** What a protected volume is measured by, and what it has to reach. */
final class Protection {
    /** Before the names of its workloads. */
    static final String PREFIX = "protected/";

    static final List<Workload> WORKLOADS =
            List.of(Workload.WRITE_FSYNC, Workload.RANDWRITE_QD32, Workload.RANDREAD_QD32, Workload.RANDREAD_QD1);

    private static final double SYNCED_WRITES_VS_NBDKIT = 3.0;
    private static final double WRITES_VS_UNPROTECTED = 0.8;
    private static final double READS_VS_UNPROTECTED = 0.9;
    /** An fsync of a protected volume is answered from memory; measuring has its noise. */
    private static final double SYNC_VS_ROUND_TRIP = 1.1;

    private Protection() {}

    static List<Result> results(Samples samples, Row row) {
        List<Result> results = new ArrayList<>(samples.figures(row));
        Result vsNbdkit = samples.ratio(
                row, "vs-nbdkit", Contender.PROTECTED, ServerKind.NBDKIT.toString(), Fio.Sample::operationsPerSecond);
        Result vsUnprotected = samples.ratio(
                row, "vs-unprotected", Contender.PROTECTED, Contender.UNPROTECTED, Fio.Sample::operationsPerSecond);
        if (row.workload().sync()) {
            results.add(vsNbdkit.withTarget(Direction.HIGHER_IS_BETTER, SYNCED_WRITES_VS_NBDKIT));
            results.add(vsUnprotected);
        } else {
            results.add(vsNbdkit);
            results.add(
                    row.workload().isSmallAndDeep()
                            ? vsUnprotected.withTarget(
                                    Direction.HIGHER_IS_BETTER,
                                    row.workload().writes() ? WRITES_VS_UNPROTECTED : READS_VS_UNPROTECTED)
                            : vsUnprotected);
        }
        results.add(samples.ratio(
                row,
                "cpu-vs-unprotected",
                Contender.PROTECTED,
                Contender.UNPROTECTED,
                Fio.Sample::cpuMicrosPerOperation));
        results.add(samples.ratio(
                row, "p99-vs-nbdkit", Contender.PROTECTED, ServerKind.NBDKIT.toString(), Fio.Sample::p99Micros));
        return results;
    }

    /** What an fsync takes beside a read of cached data from nbdkit, if both were measured. */
    static List<Result> syncAgainstRoundTrip(Samples samples, List<Row> rows) {
        List<Double> syncs = new ArrayList<>();
        List<Double> trips = new ArrayList<>();
        String name = "";
        for (Row row : rows) {
            if (row.name().contains(PREFIX) && row.workload().sync()) {
                name = row.name();
                syncs = samples.column(row, Contender.PROTECTED, Fio.Sample::syncMedianMicros);
            } else if (row.name().contains(PREFIX) && row.workload().equals(Workload.RANDREAD_QD1)) {
                trips = samples.column(row, ServerKind.NBDKIT.toString(), Fio.Sample::medianMicros);
            }
        }
        if (syncs.isEmpty() || trips.isEmpty()) {
            return List.of();
        }
        return List.of(
                Result.of(name + "/fsync", "us", syncs),
                Result.of(name + "/round-trip", "us", trips),
                Result.ratio(name + "/fsync-vs-round-trip", syncs, trips)
                        .withTarget(Direction.LOWER_IS_BETTER, SYNC_VS_ROUND_TRIP));
    }
}
