package io.vmft.bench.nbd;

import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Measures blk-server, nbdkit's file plugin, qemu-nbd and nbd-server under fio, and a protected volume of blk-server beside an
 * unprotected one. All serve the same image, as how one lies in memory makes a difference of up to a sixth; in every round each workload meets one
 * server after the other, in an order that rotates, so that whatever else the machine does meets them alike.
 */
public final class NbdBench implements Bench {
    /** A JIT compiler has to see the code run before it is measured. */
    private static final int WARM_UP_SECONDS = 4;
    /** A JVM compiles what was called often: with long requests, and with epochs, that takes longer. */
    private static final int LONG_WARM_UP_SECONDS = 10;

    private static final double MAX_RESIDENT_MIB = 512;
    private static final String GUARDED = "guarded";

    @Override
    public String name() {
        return "nbd";
    }

    @Override
    public String description() {
        return "blk-server beside nbdkit, qemu-nbd and nbd-server under fio, unix socket and tcp; protected volumes";
    }

    @Override
    public String table(List<Result> results) {
        return Tables.of(results);
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        Path folder = Images.folder(settings.folder(), "nbd");
        try {
            Images.make(Place.in(folder, true).image());
            Images.make(guardedImage(folder));
            List<Result> results = new ArrayList<>();
            for (boolean unix : new boolean[] {true, false}) {
                if (!wanted(settings, unix).isEmpty()) {
                    results.addAll(transport(unix, folder, settings, progress));
                }
            }
            if (results.isEmpty()) {
                throw new IOException("nothing has such a name; names are as unix/randread-4k-qd32 or "
                        + "tcp/protected/write-fsync-4k-qd1");
            }
            return results;
        } finally {
            Images.delete(folder);
        }
    }

    private static Path guardedImage(Path folder) {
        return folder.resolve(GUARDED + ".img");
    }

    private static String prefix(boolean unix) {
        return unix ? "unix/" : "tcp/";
    }

    /** Names of the rows the user wants. */
    private static List<String> wanted(BenchSettings settings, boolean unix) {
        List<String> names = new ArrayList<>();
        Workload.ALL.forEach(workload -> names.add(prefix(unix) + workload.name()));
        Protection.WORKLOADS.forEach(workload -> names.add(prefix(unix) + Protection.PREFIX + workload.name()));
        return names.stream().filter(settings::wants).toList();
    }

    private static List<Result> transport(boolean unix, Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        List<ServerProcess> servers = new ArrayList<>();
        Place place = Place.in(folder, unix);
        Path image = place.image();
        try {
            servers.add(ServerProcess.start(
                    ServerKind.BLK_SERVER,
                    place,
                    BlkServerCommand.of(
                            place, List.of(ServerKind.EXPORT + "=" + image, GUARDED + "=" + guardedImage(folder)))));
            for (ServerKind kind : List.of(ServerKind.NBDKIT, ServerKind.QEMU_NBD, ServerKind.NBD_SERVER)) {
                servers.add(ServerProcess.start(kind, Place.in(folder, unix)));
            }
            try (EpochDriver epochs = new EpochDriver(servers.getFirst().controlAddress(), GUARDED)) {
                return measure(
                        rows(unix, servers, epochs, settings), prefix(unix), servers, epochs, settings, progress);
            }
        } finally {
            servers.forEach(ServerProcess::close);
        }
    }

    private static List<Row> rows(
            boolean unix, List<ServerProcess> servers, EpochDriver epochs, BenchSettings settings) {
        List<Contender> plain = servers.stream().map(Contender::new).toList();
        ServerProcess blkServer = servers.getFirst();
        List<Contender> guarded = List.of(
                new Contender(Contender.PROTECTED, blkServer, blkServer.uri(epochs.export()), epochs),
                new Contender(Contender.UNPROTECTED, blkServer, blkServer.uri(ServerKind.EXPORT), null),
                new Contender(servers.get(1)));
        List<String> wanted = wanted(settings, unix);
        List<Row> rows = new ArrayList<>();
        for (Workload workload : Workload.ALL) {
            rows.add(new Row(prefix(unix) + workload.name(), workload, plain));
        }
        for (Workload workload : Protection.WORKLOADS) {
            rows.add(new Row(prefix(unix) + Protection.PREFIX + workload.name(), workload, guarded));
        }
        return rows.stream().filter(row -> wanted.contains(row.name())).toList();
    }

    private static List<Result> measure(
            List<Row> rows,
            String prefix,
            List<ServerProcess> servers,
            EpochDriver epochs,
            BenchSettings settings,
            PrintWriter progress)
            throws IOException, InterruptedException {
        if (rows.stream().flatMap(row -> row.contenders().stream()).anyMatch(contender -> contender.epochs() != null)) {
            progress.println("warming up");
            progress.flush();
            epochs.warmUp();
        }
        for (Row row : rows) {
            for (Contender contender : row.contenders()) {
                if (contender.server().kind() == ServerKind.BLK_SERVER) {
                    boolean slowly = row.workload().isLarge() || contender.epochs() != null;
                    measure(contender, row.workload(), slowly ? LONG_WARM_UP_SECONDS : WARM_UP_SECONDS);
                }
            }
        }
        Samples samples = new Samples();
        for (int round = 1; round <= settings.rounds(); round++) {
            for (Row row : rows) {
                progress.printf("round %d of %d: %s%n", round, settings.rounds(), row.name());
                progress.flush();
                List<Contender> order = new ArrayList<>(row.contenders());
                Collections.rotate(order, round);
                for (Contender contender : order) {
                    samples.add(row.name(), contender.label(), measure(contender, row.workload(), settings.seconds()));
                }
            }
        }
        List<Result> results = new ArrayList<>();
        rows.forEach(row -> results.addAll(
                row.name().startsWith(prefix + Protection.PREFIX)
                        ? Protection.results(samples, row)
                        : samples.results(row)));
        results.addAll(Protection.syncAgainstRoundTrip(samples, rows));
        if (rows.stream().anyMatch(row -> row.name().startsWith(prefix + Protection.PREFIX))) {
            results.addAll(epochs.results(prefix + Protection.PREFIX));
        }
        results.addAll(memory(prefix, servers));
        return results;
    }

    private static Fio.Sample measure(Contender contender, Workload workload, int seconds)
            throws IOException, InterruptedException {
        EpochDriver epochs = contender.epochs();
        ServerProcess server = contender.server();
        if (epochs == null) {
            return Fio.measure(server, contender.uri(), workload, seconds, Images.MIB, server::cpuSeconds);
        }
        epochs.start();
        return Fio.measure(server, contender.uri(), workload, seconds, Images.MIB, () -> {
            epochs.stop();
            // What is committed goes to the image in the background: not while another is measured, and at this one's
            // cost.
            return server.awaitQuiet();
        });
    }

    private static List<Result> memory(String prefix, List<ServerProcess> servers) throws IOException {
        List<Result> results = new ArrayList<>();
        for (ServerProcess server : servers) {
            String name = prefix + "memory/" + server.kind();
            Result peak = Result.of(name + "/peak", "MiB", List.of(server.peakResidentBytes() / 1048576.0));
            results.add(
                    server.kind() == ServerKind.BLK_SERVER
                            ? peak.withTarget(Direction.LOWER_IS_BETTER, MAX_RESIDENT_MIB)
                            : peak);
            results.add(Result.of(name + "/final", "MiB", List.of(server.residentBytes() / 1048576.0)));
        }
        return results;
    }
}
