package io.vmft.blk.journal;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.rocksdb.NativeLibraryLoader;
import org.rocksdb.RocksDB;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * RocksDB's native library, 17 MB that it unpacks where temporary files are and that only a JVM which ends by itself deletes. Here they have no name
 * any more as soon as they are loaded, so that a server that is killed leaves none.
 */
final class RocksLibrary {
    private static final Logger LOG = LoggerFactory.getLogger(RocksLibrary.class);
    static final String FOLDER_PREFIX = "vmft-rocksdb";

    private static boolean loaded;

    private RocksLibrary() {}

    /** Loads it; idempotent. */
    static synchronized void load() throws IOException {
        if (loaded) {
            return;
        }
        Path folder = Files.createTempDirectory(FOLDER_PREFIX);
        try {
            NativeLibraryLoader.getInstance().loadLibrary(folder.toString());
            RocksDB.loadLibrary();
            loaded = true;
        } catch (IOException | UnsatisfiedLinkError e) {
            throw new IOException(
                    "RocksDB's library, of 17 MB, cannot be unpacked to " + folder.getParent()
                            + " and loaded from there: "
                            + e.getMessage() + "; make room, or if it is mounted noexec name another directory:"
                            + " JAVA_TOOL_OPTIONS=-Djava.io.tmpdir=DIR",
                    e);
        } finally {
            delete(folder);
        }
    }

    private static void delete(Path folder) {
        try {
            List<Path> unpacked;
            try (Stream<Path> files = Files.list(folder)) {
                unpacked = files.toList();
            }
            for (Path file : unpacked) {
                Files.delete(file);
            }
            Files.delete(folder);
        } catch (IOException e) {
            LOG.warn("{} could not be deleted and may be: {}", folder, e.toString());
        }
    }
}
