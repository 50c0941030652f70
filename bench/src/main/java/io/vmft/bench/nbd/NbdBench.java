package io.vmft.bench.nbd;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;

/**
 * Measures blk-server, nbdkit's file plugin and qemu-nbd under fio. Every server has an image of its own; in every round each
 * workload meets one server after the other, so that whatever else the machine does meets them alike.
 */
public final class NbdBench implements Bench {
    private static final int IMAGE_MIB = 512;
    /** A JIT compiler has to see the code run before it is measured. */
    private static final int WARM_UP_SECONDS = 4;

    @Override
    public String name() {
        return "nbd";
    }

    @Override
    public String description() {
        return "blk-server beside nbdkit and qemu-nbd under fio, unix socket and tcp";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        Path folder = Files.createTempDirectory(settings.folder(), "vmft-bench-nbd");
        try {
            List<Result> results = new ArrayList<>();
            for (Peer.Kind kind : Peer.Kind.values()) {
                makeImage(image(folder, kind));
            }
            for (boolean unix : new boolean[] {true, false}) {
                results.addAll(transport(unix, folder, settings, progress));
            }
            return results;
        } finally {
            delete(folder);
        }
    }

    private static Path image(Path folder, Peer.Kind kind) {
        return folder.resolve(kind + ".img");
    }

    private static void makeImage(Path path) throws IOException {
        byte[] block = new byte[1 << 20];
        Random random = new Random(1);
        try (OutputStream out = Files.newOutputStream(path)) {
            for (int i = 0; i < IMAGE_MIB; i++) {
                random.nextBytes(block);
                out.write(block);
            }
        }
    }

    private static List<Result> transport(boolean unix, Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        String prefix = unix ? "unix/" : "tcp/";
        List<Peer> peers = new ArrayList<>();
        try {
            for (Peer.Kind kind : Peer.Kind.values()) {
                peers.add(Peer.start(kind, unix, image(folder, kind), folder));
            }
            for (Workload workload : Workload.ALL) {
                measure(peers.getFirst(), workload, WARM_UP_SECONDS);
            }
            Samples samples = new Samples();
            for (int round = 1; round <= settings.rounds(); round++) {
                for (Workload workload : Workload.ALL) {
                    progress.printf("round %d of %d: %s%s%n", round, settings.rounds(), prefix, workload.name());
                    progress.flush();
                    for (Peer peer : peers) {
                        samples.add(workload, peer.kind(), measure(peer, workload, settings.seconds()));
                    }
                }
            }
            return Workload.ALL.stream()
                    .flatMap(workload -> samples.results(prefix, workload).stream())
                    .toList();
        } finally {
            peers.forEach(Peer::close);
        }
    }

    private static Samples.Sample measure(Peer peer, Workload workload, int seconds)
            throws IOException, InterruptedException {
        double cpuBefore = peer.cpuSeconds();
        Process fio = new ProcessBuilder(workload.fio(peer.uri(), seconds, IMAGE_MIB + "m"))
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        String output = new String(fio.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        if (fio.waitFor() != 0) {
            throw new IOException("fio failed with " + peer.kind() + ", " + workload.name() + ": "
                    + output.lines().findFirst().orElse("it said nothing"));
        }
        double cpuSeconds = peer.cpuSeconds() - cpuBefore;
        // fio may say something before its JSON begins.
        JsonNode job = new ObjectMapper()
                .readTree(output.substring(output.indexOf('{')))
                .path("jobs")
                .path(0)
                .path(workload.writes() ? "write" : "read");
        return new Samples.Sample(
                job.path("iops").asDouble(),
                cpuSeconds * 1e6 / job.path("total_ios").asDouble(),
                job.path("clat_ns").path("percentile").path("99.000000").asDouble() / 1e3);
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
