package io.vmft.engine.vm;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Where one VM's engine keeps its files on this host. Holding it means being the only engine of that VM on this host: a lock in the run
 * directory says so, and it goes when the process does.
 *
 * <p>Sockets lie in {@code RUN_DIR/VM}; guest memory, staging and device state, which must be memory, in a folder of their own on
 * {@code /dev/shm}, named after the run directory so that what a killed engine left is found and removed by the next one.
 */
public final class VmPaths implements AutoCloseable {
    private static final Path MEMORY = Path.of("/dev/shm");

    private final Path directory;
    private final Path memory;
    private final FileLock lock;

    private VmPaths(Path directory, Path memory, FileLock lock) {
        this.directory = directory;
        this.memory = memory;
        this.lock = lock;
    }

    /**
     * Takes the VM on this host and clears what an earlier engine left.
     *
     * @throws IOException if another engine has it, or the folders cannot be made; the message is for the operator
     */
    public static VmPaths take(Path runDir, String vm) throws IOException {
        Path directory = runDir.toAbsolutePath().normalize().resolve(vm);
        FileLock lock;
        try {
            Files.createDirectories(directory);
            FileChannel file =
                    FileChannel.open(directory.resolve("lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
            lock = tryLock(file);
        } catch (IOException e) {
            throw new IOException(
                    directory + ": cannot be made or written (" + e + "); run as root or give another --run-dir", e);
        }
        if (lock == null) {
            throw new IOException(vm + ": an engine already runs it on this host (lock in " + directory
                    + "); stop that one, or give another --run-dir");
        }
        Path memory = MEMORY.resolve("vmft" + directory.toString().replace('/', '-'));
        try {
            deleteTree(memory);
            // Other users of this host must not read the guest's memory.
            Files.createDirectory(
                    memory, PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
        } catch (IOException e) {
            lock.acquiredBy().close();
            throw new IOException(memory + ": cannot be made (" + e + "); vmft needs a writable " + MEMORY, e);
        }
        return new VmPaths(directory, memory, lock);
    }

    /** Where the engine of {@code vm} on this host listens for commands. */
    public static Path monitorSocket(Path runDir, String vm) {
        return runDir.toAbsolutePath().normalize().resolve(vm).resolve("monitor.sock");
    }

    public Path directory() {
        return directory;
    }

    public Path trackerSocket() {
        return directory.resolve("tracker.sock");
    }

    public Path ramFile() {
        return memory.resolve("ram");
    }

    /** Where memory beside guest RAM lies. */
    public Path blocksFile() {
        return memory.resolve("blocks");
    }

    public Path stagingFile() {
        return memory.resolve("staging");
    }

    public Path stateFile() {
        return memory.resolve("state");
    }

    @Override
    public void close() throws IOException {
        deleteTree(memory);
        lock.acquiredBy().close();
    }

    private static @Nullable FileLock tryLock(FileChannel file) throws IOException {
        FileLock lock;
        try {
            lock = file.tryLock();
        } catch (java.nio.channels.OverlappingFileLockException e) {
            lock = null;
        }
        if (lock == null) {
            file.close();
        }
        return lock;
    }

    private static void deleteTree(Path root) throws IOException {
        if (!Files.isDirectory(root)) {
            return;
        }
        try (Stream<Path> files = Files.list(root)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(root);
    }
}
