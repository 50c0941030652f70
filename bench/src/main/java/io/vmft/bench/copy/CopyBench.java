package io.vmft.bench.copy;

import io.vmft.bench.Bench;
import io.vmft.bench.BenchSettings;
import io.vmft.bench.OwnCommand;
import io.vmft.bench.Result;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * Copies an image into an export and out of one, both ways with {@code vmft nbd copy} and nbdcopy, which both make it safe in the end. The
 * server is nbdkit's file plugin each time. What is measured is the whole command, from its start to its end; the Java virtual machine's
 * start is in it.
 */
public final class CopyBench implements Bench {
    private static final long IMAGE_BYTES = 2L << 30;
    private static final int BLOCK_BYTES = 1 << 20;
    /** Of a sparse image, one block in so many is data. */
    private static final int SPARSE_STEP = 10;

    private static final int LONGEST_SECONDS = 300;

    private enum Program {
        VMFT,
        NBDCOPY;

        List<String> command(String from, String to) {
            return switch (this) {
                case NBDCOPY -> List.of("nbdcopy", "--flush", from, to);
                case VMFT -> OwnCommand.NBD.of(List.of("copy", from, to));
            };
        }

        @Override
        public String toString() {
            return this == VMFT ? "vmft nbd copy" : "nbdcopy";
        }
    }

    /** An image, and which way it is copied. */
    private record Case(boolean sparse, boolean intoExport) {
        String name() {
            return (sparse ? "sparse" : "full") + (intoExport ? "/file→nbd" : "/nbd→file");
        }
    }

    @Override
    public String name() {
        return "copy";
    }

    @Override
    public String description() {
        return "vmft nbd copy beside nbdcopy, file to nbdkit and back, full and sparse images";
    }

    @Override
    public List<Result> run(BenchSettings settings, PrintWriter progress) throws IOException, InterruptedException {
        Path folder = Files.createTempDirectory(settings.folder(), "vmft-bench-copy");
        try {
            List<Result> results = new ArrayList<>();
            for (boolean sparse : new boolean[] {false, true}) {
                Path image = folder.resolve(sparse ? "sparse.img" : "full.img");
                makeImage(image, sparse);
                for (boolean intoExport : new boolean[] {true, false}) {
                    Case each = new Case(sparse, intoExport);
                    if (settings.wants(each.name())) {
                        results.addAll(measure(each, image, folder, settings, progress));
                    }
                }
                Files.delete(image);
            }
            return results;
        } finally {
            delete(folder);
        }
    }

    private static void makeImage(Path path, boolean sparse) throws IOException {
        byte[] block = new byte[BLOCK_BYTES];
        Random random = new Random(1);
        if (sparse) {
            try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
                file.setLength(IMAGE_BYTES);
                for (long offset = 0; offset < IMAGE_BYTES; offset += (long) SPARSE_STEP * BLOCK_BYTES) {
                    random.nextBytes(block);
                    file.seek(offset);
                    file.write(block);
                }
            }
        } else {
            try (OutputStream out = Files.newOutputStream(path)) {
                for (long offset = 0; offset < IMAGE_BYTES; offset += BLOCK_BYTES) {
                    random.nextBytes(block);
                    out.write(block);
                }
            }
        }
    }

    private static List<Result> measure(
            Case each, Path image, Path folder, BenchSettings settings, PrintWriter progress)
            throws IOException, InterruptedException {
        Map<Program, List<Double>> seconds = new EnumMap<>(Program.class);
        Path copy = folder.resolve("copy.img");
        for (int round = 0; round <= settings.rounds(); round++) {
            progress.printf("%s: round %d of %d%n", each.name(), round, settings.rounds());
            progress.flush();
            List<Program> order = new ArrayList<>(List.of(Program.values()));
            Collections.rotate(order, round);
            for (Program program : order) {
                double taken = once(program, each, image, copy, folder);
                if (round > 0) { // the first fills the page cache
                    seconds.computeIfAbsent(program, _ -> new ArrayList<>()).add(taken);
                } else if (Files.mismatch(image, copy) >= 0) {
                    throw new IOException(program + ", " + each.name() + ": the copy differs from the image");
                }
                Files.delete(copy);
            }
        }
        List<Double> ours = seconds.getOrDefault(Program.VMFT, List.of());
        List<Double> theirs = seconds.getOrDefault(Program.NBDCOPY, List.of());
        return List.of(
                Result.ratio(each.name() + "/speed÷nbdcopy", theirs, ours)
                        .withTarget(Result.Direction.HIGHER_IS_BETTER, 0.95),
                Result.of(each.name() + "/" + Program.VMFT, "s", ours),
                Result.of(each.name() + "/" + Program.NBDCOPY, "s", theirs));
    }

    /** One copy with a server of its own; the seconds it took. */
    private static double once(Program program, Case each, Path image, Path copy, Path folder)
            throws IOException, InterruptedException {
        if (each.intoExport()) {
            try (RandomAccessFile empty = new RandomAccessFile(copy.toFile(), "rw")) {
                empty.setLength(IMAGE_BYTES);
            }
        }
        Path socket = folder.resolve("nbdkit.sock");
        Path pid = folder.resolve("nbdkit.pid");
        Process nbdkit = start(
                List.of(
                        "nbdkit",
                        "-f",
                        "-U",
                        socket.toString(),
                        "-P",
                        pid.toString(),
                        "file",
                        (each.intoExport() ? copy : image).toString()),
                folder);
        try {
            awaitFile(pid, nbdkit);
            String export = "nbd+unix:///?socket=" + socket;
            String from = each.intoExport() ? image.toString() : export;
            String to = each.intoExport() ? export : copy.toString();
            long begin = System.nanoTime();
            Process process = start(program.command(from, to), folder);
            if (!process.waitFor(LONGEST_SECONDS, TimeUnit.SECONDS) || process.exitValue() != 0) {
                process.destroyForcibly();
                throw new IOException(program + " failed: "
                        + Files.readString(folder.resolve("log")).strip());
            }
            return (System.nanoTime() - begin) / 1e9;
        } finally {
            nbdkit.destroy();
            nbdkit.waitFor();
            Files.deleteIfExists(socket);
            Files.deleteIfExists(pid);
        }
    }

    private static Process start(List<String> command, Path folder) throws IOException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("log").toFile())
                .start();
    }

    /** nbdkit writes its process number when it listens. */
    private static void awaitFile(Path file, Process process) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        while (!Files.exists(file)) {
            if (!process.isAlive() || System.nanoTime() > deadline) {
                throw new IOException(String.format(Locale.ROOT, "nbdkit does not start: %s is missing", file));
            }
            TimeUnit.MILLISECONDS.sleep(5);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
