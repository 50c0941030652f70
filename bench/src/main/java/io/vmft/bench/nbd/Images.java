package io.vmft.bench.nbd;

import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Random;
import java.util.stream.Stream;

/** The images the servers serve, in a folder that is gone afterwards. */
final class Images {
    /** So small that the page cache holds all of them. */
    static final int MIB = 512;

    private static final int BLOCK_BYTES = 4096;

    private Images() {}

    /** A new folder for images and sockets. If the benchmark is ended by a signal it goes, and the servers with it. */
    static Path folder(Path parent, String name) throws IOException {
        Path folder = Files.createTempDirectory(parent, "vmft-bench-" + name);
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(() -> {
            ServerProcess.endAll();
            try {
                delete(folder);
            } catch (IOException | UncheckedIOException e) {
                System.err.println("vmft bench: could not delete " + folder + ": " + e.getMessage());
            }
        }));
        return folder;
    }

    /**
     * An image without holes, written block by block: the system then keeps every block by itself in its page cache. After large
     * writes it would keep some in larger units, as memory happens to be free, in which a later small write costs several times
     * as much: images would differ by the order they were made in.
     */
    static void make(Path path) throws IOException {
        byte[] block = new byte[BLOCK_BYTES];
        Random random = new Random(1);
        try (OutputStream out = Files.newOutputStream(path)) {
            for (int i = 0; i < MIB * ((1 << 20) / BLOCK_BYTES); i++) {
                random.nextBytes(block);
                out.write(block);
            }
        }
    }

    /** Deletes a folder with all that is in it, if it is there. */
    static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
