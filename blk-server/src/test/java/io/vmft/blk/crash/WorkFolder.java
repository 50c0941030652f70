package io.vmft.blk.crash;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/** A folder in memory, if there is such a file system, else in the temporary folder; removed at the end. */
record WorkFolder(Path path) implements AutoCloseable {
    private static final Path MEMORY = Path.of("/dev/shm");

    static WorkFolder make(String name) throws IOException {
        return new WorkFolder(
                Files.isWritable(MEMORY)
                        ? Files.createTempDirectory(MEMORY, "vmft-" + name)
                        : Files.createTempDirectory("vmft-" + name));
    }

    /** Where syncs take their time. */
    static WorkFolder onDisk(String name) throws IOException {
        return new WorkFolder(Files.createTempDirectory("vmft-" + name));
    }

    /** An empty folder in it, with nothing left of an earlier one. */
    Path empty(String name) throws IOException {
        Path folder = path.resolve(name);
        remove(folder);
        return Files.createDirectory(folder);
    }

    static void remove(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        List<Path> all;
        try (Stream<Path> walk = Files.walk(folder)) {
            all = walk.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path path : all) {
            Files.delete(path);
        }
    }

    static void copy(Path from, Path to) throws IOException {
        remove(to);
        try (Stream<Path> walk = Files.walk(from)) {
            for (Path path : (Iterable<Path>) walk::iterator) {
                Path target = to.resolve(from.relativize(path).toString());
                Files.createDirectories(target.getParent());
                Files.copy(path, target);
            }
        }
    }

    @Override
    public void close() throws IOException {
        remove(path);
    }
}
