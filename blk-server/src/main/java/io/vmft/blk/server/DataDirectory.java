package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The server's own directory, locked: by a server or whoever changes it against everybody else, by those who only look against servers.
 * The lock's file holds the running server's control address.
 */
final class DataDirectory implements AutoCloseable {
    private static final int MAX_ADDRESS_BYTES = 512;

    private final Path path;
    /** Null: there was nothing to lock, and nobody who only looks makes it. */
    private final @Nullable FileChannel lockChannel;

    private boolean announced;

    private DataDirectory(Path path, @Nullable FileChannel lockChannel) {
        this.path = path;
        this.lockChannel = lockChannel;
    }

    /** Opens it for a server, or makes it, with its folders. What is written into them later cannot be lost with their names. */
    static DataDirectory open(StoreFiles files, Path path) throws IOException {
        try {
            createDurably(files, path.toAbsolutePath());
        } catch (IOException e) {
            throw unusable(path, e);
        }
        DataDirectory directory =
                lock(path, Set.of(StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE), false);
        try {
            directory.createFolders(files);
            return directory;
        } catch (IOException e) {
            directory.close();
            throw e;
        }
    }

    /** Opens one that a server has used, to change it while none runs. */
    static DataDirectory openExisting(StoreFiles files, Path path) throws IOException {
        requireServers(path);
        if (!Files.isDirectory(path.resolve("index"))) {
            throw new IOException(
                    "--data " + path + ": the journal's index is missing; restore the directory as a whole");
        }
        return open(files, path);
    }

    /** Opens one that a server has used, to look at it while none runs. Changes nothing in it. */
    static DataDirectory look(Path path) throws IOException {
        requireServers(path);
        try {
            return lock(path, Set.of(StandardOpenOption.READ), true);
        } catch (NoSuchFileException e) {
            return new DataDirectory(path, null);
        }
    }

    private static void requireServers(Path path) throws IOException {
        if (!Files.exists(path) && !Files.notExists(path)) {
            throw new IOException("--data " + path + " cannot be looked at; ask as its owner");
        }
        if (!Files.exists(path)) {
            throw new IOException("--data " + path + " does not exist; name the directory a block server runs with");
        }
        if (!Files.isDirectory(path.resolve("index")) && !Files.isDirectory(path.resolve("journal"))) {
            throw new IOException("--data " + path + " is not a block server's directory; name the one it runs with");
        }
    }

    private static DataDirectory lock(Path path, Set<? extends OpenOption> options, boolean shared) throws IOException {
        FileChannel channel;
        try {
            channel = FileChannel.open(path.resolve("lock"), options);
        } catch (NoSuchFileException e) {
            throw e;
        } catch (IOException e) {
            throw unusable(path, e);
        }
        @Nullable FileLock lock = null;
        @Nullable String address = null;
        try {
            lock = channel.tryLock(0, Long.MAX_VALUE, shared);
        } catch (OverlappingFileLockException e) {
            // The same answer as for another process.
        } finally {
            if (lock == null) {
                address = address(channel);
                channel.close();
            }
        }
        if (lock == null) {
            throw new IOException(
                    "--data " + path + " is in use by another block server, or a command is looking at it; "
                            + (address == null || address.isBlank()
                                    ? "stop that, or name another directory"
                                    : "a server is asked with --control " + address));
        }
        return new DataDirectory(path, channel);
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

    private static String address(FileChannel channel) throws IOException {
        ByteBuffer text = ByteBuffer.allocate(MAX_ADDRESS_BYTES);
        channel.read(text, 0);
        return new String(text.array(), 0, text.position(), StandardCharsets.UTF_8).strip();
    }

    private static IOException unusable(Path path, IOException e) {
        return new IOException("--data " + path + " cannot be used (" + e + "); name a directory to write to", e);
    }

    /** Tells those who find it locked where to ask. */
    void announce(String control) throws IOException {
        FileChannel channel = lockChannel;
        if (channel != null) {
            announced = true;
            channel.truncate(0);
            channel.write(ByteBuffer.wrap((control + "\n").getBytes(StandardCharsets.UTF_8)), 0);
        }
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
        if (lockChannel != null) {
            if (announced) {
                lockChannel.truncate(0);
            }
            lockChannel.close();
        }
    }
}
