package io.vmft.blk.server;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import org.jspecify.annotations.Nullable;

/** The server's own directory, locked against a second server. */
final class DataDirectory implements AutoCloseable {
    private final Path path;
    private final FileChannel lockChannel;

    private DataDirectory(Path path, FileChannel lockChannel) {
        this.path = path;
        this.lockChannel = lockChannel;
    }

    static DataDirectory open(Path path) throws IOException {
        FileChannel channel;
        try {
            Files.createDirectories(path);
            channel = FileChannel.open(path.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new IOException("--data " + path + " cannot be used (" + e + "); name a directory to write to", e);
        }
        @Nullable FileLock lock = null;
        try {
            lock = channel.tryLock();
        } catch (OverlappingFileLockException e) {
            // The same answer as for another process.
        } finally {
            if (lock == null) {
                channel.close();
            }
        }
        if (lock == null) {
            throw new IOException(
                    "--data " + path + " is in use by another block server; stop that one, or name another directory");
        }
        return new DataDirectory(path, channel);
    }

    Path index() {
        return path.resolve("index");
    }

    Path journal() {
        return path.resolve("journal");
    }

    Path snapshots() {
        return path.resolve("snapshots");
    }

    Path changes() {
        return path.resolve("changes");
    }

    @Override
    public void close() throws IOException {
        lockChannel.close();
    }
}
