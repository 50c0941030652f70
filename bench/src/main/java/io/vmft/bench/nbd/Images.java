package io.vmft.bench.nbd;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.Random;
import java.util.stream.Stream;

/** The images the servers serve, in a folder that is gone afterwards. */
final class Images {
    /** So small that the page cache holds all of them. */
    static final int MIB = 512;

    private Images() {}

    /** An image without holes. */
    static void make(Path path) throws IOException {
        byte[] block = new byte[1 << 20];
        Random random = new Random(1);
        try (OutputStream out = Files.newOutputStream(path)) {
            for (int i = 0; i < MIB; i++) {
                random.nextBytes(block);
                out.write(block);
            }
        }
    }

    static void delete(Path folder) throws IOException {
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(file);
            }
        }
    }
}
