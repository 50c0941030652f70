package io.vmft.blk.snapshot;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

/**
 * The room that all committed views of a server share for old content. Thread-safe. Its files have no names once they are open, so
 * that they end with the process.
 */
public final class SnapshotSpace {
    /** What is left to the journal's index and to others on the same file system. */
    private static final long LEFT_FREE_BYTES = 256 << 20;

    /** Asked for at once, so that the file system need not be asked for every block. */
    private static final long CHECK_BYTES = 16 << 20;

    private final Path folder;
    private final StoreFiles files;
    private final long limitBytes;
    private final AtomicLong usedBytes = new AtomicLong();
    private final AtomicLong uncheckedBytes = new AtomicLong();
    private final AtomicLong names = new AtomicLong();

    private SnapshotSpace(Path folder, StoreFiles files, long limitBytes) {
        this.folder = folder;
        this.files = files;
        this.limitBytes = limitBytes;
    }

    /**
     * Makes the folder if need be and removes what an earlier process left there.
     *
     * @param limitBytes of all files together
     */
    public static SnapshotSpace open(Path folder, StoreFiles files, long limitBytes) throws IOException {
        Files.createDirectories(folder);
        try (Stream<Path> left = Files.list(folder)) {
            for (Path file : (Iterable<Path>) left::iterator) {
                Files.delete(file);
            }
        } catch (UncheckedIOException e) {
            throw new IOException(folder + " cannot be read: " + e.getMessage(), e);
        }
        return new SnapshotSpace(folder, files, limitBytes);
    }

    /** Bytes in use. */
    public long usedBytes() {
        return usedBytes.get();
    }

    /** An empty sparse file of {@code sizeBytes}, the caller's to close. */
    StoreFile newFile(long sizeBytes) throws IOException {
        Path path = folder.resolve("blocks-" + names.incrementAndGet());
        StoreFile file = files.open(path, StoreFiles.Access.CREATE);
        try {
            Files.delete(path);
            file.setSize(sizeBytes);
        } catch (IOException e) {
            file.close();
            throw e;
        }
        return file;
    }

    /** Takes room. */
    void take(long bytes) throws NoSpaceException, IOException {
        if (usedBytes.addAndGet(bytes) > limitBytes) {
            usedBytes.addAndGet(-bytes);
            throw new NoSpaceException("what changed meanwhile is more than the limit of " + (limitBytes >> 20)
                    + " MiB for old content; raise --snapshot-limit, or copy faster");
        }
        if (uncheckedBytes.addAndGet(bytes) >= CHECK_BYTES) {
            uncheckedBytes.set(0);
            checkFileSystem(bytes);
        }
    }

    private void checkFileSystem(long bytes) throws IOException {
        long free = Files.getFileStore(folder).getUsableSpace();
        if (free < LEFT_FREE_BYTES + CHECK_BYTES) {
            usedBytes.addAndGet(-bytes);
            throw new NoSpaceException("what changed meanwhile does not fit: the file system of " + folder + " has "
                    + (free >> 20) + " MiB left; make room there");
        }
    }

    void giveBack(long bytes) {
        usedBytes.addAndGet(-bytes);
    }
}
