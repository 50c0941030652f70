package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The server's own directory, locked against a second server. */
final class DataDirectory implements AutoCloseable {
    private final Path path;
    private final FileChannel lockChannel;

    private DataDirectory(Path path, FileChannel lockChannel) {
        this.path = path;
        this.lockChannel = lockChannel;
    }

    /** Opens it, or makes it, with its folders. What is written into them later cannot be lost with their names. */
    static DataDirectory open(StoreFiles files, Path path) throws IOException {
        FileChannel channel;
        try {
            createDurably(files, path.toAbsolutePath());
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
        DataDirectory directory = new DataDirectory(path, channel);
        try {
            directory.createFolders(files);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        return directory;
    }

    private static void createDurably(StoreFiles files, Path path) throws IOException {
        Path parent = path.getParent();
        if (parent == null) {
            return;
        }
        if (!Files.isDirectory(parent)) {
            createDurably(files, parent);
        }
        // Also if it is there: whoever made it may have been killed before the sync.
        Files.createDirectories(path);
        files.syncDirectory(parent);
    }

    private void createFolders(StoreFiles files) throws IOException {
        for (Path folder : List.of(index(), journal(), snapshots(), changes())) {
            Files.createDirectories(folder);
        }
        files.syncDirectory(path);
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
