package io.vmft.blk.volume;

import io.netty.channel.DefaultFileRegion;
import io.netty.channel.FileRegion;
import io.vmft.blk.export.SyncFailedException;
import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.file.WriteVector;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Objects;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A raw image file or block device, locked against other servers. Thread-safe.
 *
 * <p>INVARIANT: no other descriptor of the file is opened and closed in this process while it is served; closing one would drop
 * the (POSIX) lock.
 */
public final class VolumeImage implements AutoCloseable {
    /**
     * Written in one call. From longer ones Linux makes units of the page cache in which every later write of 4 KiB takes half as long again.
     */
    private static final long MAX_WRITE_BYTES = 256 << 10;

    private final StoreFile file;
    private final FileChannel lockChannel;
    private final long sizeBytes;
    private final boolean readOnly;
    private final ReentrantLock syncing = new ReentrantLock();
    /**
     * Whether something was changed by {@link #write} or {@link #clear} since the last sync. At first it is: an earlier process may have
     * been killed before its clients' flush.
     */
    private volatile boolean dirty = true;

    private volatile boolean regionsWork = true;
    private volatile @Nullable IOException failure;
    private volatile Runnable syncFailed = () -> {};

    private VolumeImage(StoreFile file, FileChannel lockChannel, long sizeBytes, boolean readOnly) {
        this.file = file;
        this.lockChannel = lockChannel;
        this.sizeBytes = sizeBytes;
        this.readOnly = readOnly;
    }

    /**
     * Opens an image.
     *
     * @param createBytes size it is created with (sparse) if it is missing or empty, and has at least; 0: it must exist
     * @throws IOException with one line for the operator
     */
    public static VolumeImage open(StoreFiles files, String volume, Path path, long createBytes, boolean readOnly)
            throws IOException {
        boolean create = false;
        if (!Files.exists(path)) {
            if (createBytes == 0 || readOnly) {
                throw new IOException(
                        volume + ": image " + path + " does not exist; create it, or let it be created with"
                                + " --volume " + volume + "=" + path + ",create=20G");
            }
            create = true;
        } else if (Files.isDirectory(path)) {
            throw new IOException(
                    volume + ": image " + path + " is a directory; name a raw image file or a block device");
        }
        FileChannel channel = lock(volume, path, create, readOnly);
        @Nullable StoreFile file = null;
        try {
            file = files.open(path, readOnly ? StoreFiles.Access.READ_ONLY : StoreFiles.Access.READ_WRITE);
            long size = file.sizeBytes();
            // One that is empty: whoever created it did not get any further.
            if (size == 0 && createBytes > 0 && !readOnly) {
                file.setSize(createBytes);
                file.sync();
                files.syncDirectory(Objects.requireNonNull(path.toAbsolutePath().getParent()));
                size = createBytes;
            }
            if (size == 0) {
                throw new IOException(volume + ": image " + path + " is empty; give it a size or let it be created");
            }
            if (size < createBytes) {
                throw new IOException(volume + ": image " + path + " has " + size + " bytes, create says " + createBytes
                        + "; correct that, or enlarge it with blk-server grow");
            }
            return new VolumeImage(file, channel, size, readOnly);
        } catch (IOException e) {
            if (file != null) {
                file.close();
            }
            channel.close();
            if (create) {
                Files.deleteIfExists(path);
            }
            throw e;
        }
    }

    /**
     * Extends an image that nobody serves by a hole, durably.
     *
     * @return false: it had this size before
     * @throws IOException with one line for the operator; then its size is what it was
     */
    public static boolean grow(StoreFiles files, String volume, Path path, long sizeBytes) throws IOException {
        try (VolumeImage image = open(files, volume, path, 0, false)) {
            if (image.sizeBytes > sizeBytes) {
                throw new IOException(
                        volume + ": image " + path + " has " + image.sizeBytes + " bytes; a volume never shrinks");
            }
            if (image.sizeBytes == sizeBytes) {
                return false;
            }
            image.file.setSize(sizeBytes);
            image.file.sync();
            return true;
        }
    }

    private static FileChannel lock(String volume, Path path, boolean create, boolean readOnly) throws IOException {
        FileChannel channel;
        try {
            channel = readOnly
                    ? FileChannel.open(path, StandardOpenOption.READ)
                    : create
                            ? FileChannel.open(
                                    path,
                                    StandardOpenOption.READ,
                                    StandardOpenOption.WRITE,
                                    StandardOpenOption.CREATE_NEW)
                            : FileChannel.open(path, StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw new IOException(
                    volume + ": image " + path + " cannot be opened (" + e + "); check its path and permissions", e);
        }
        @Nullable FileLock lock = null;
        try {
            lock = channel.tryLock(0, Long.MAX_VALUE, readOnly);
        } catch (OverlappingFileLockException e) {
            // The same answer as for another process.
        } finally {
            if (lock == null) {
                channel.close();
            }
        }
        if (lock == null) {
            throw new IOException(
                    volume + ": image " + path + " is in use by another server; stop that one, or serve another image");
        }
        return channel;
    }

    public Path path() {
        return file.path();
    }

    public long sizeBytes() {
        return sizeBytes;
    }

    public boolean readOnly() {
        return readOnly;
    }

    public void read(long offset, MemorySegment destination) throws IOException {
        file.read(offset, destination);
    }

    /** After this there are no regions any more. */
    void regionFailed() {
        regionsWork = false;
    }

    /** The range as the kernel can send it by itself, to be released; the file stays this image's. Null if that did not work before. */
    @Nullable
    FileRegion region(long offset, long lengthBytes) {
        if (!regionsWork) {
            return null;
        }
        return new DefaultFileRegion(lockChannel, offset, lengthBytes) {
            @Override
            protected void deallocate() {
                // the file is the image's
            }
        };
    }

    // Each change is marked when it is in the page cache: a sync that began before need not cover it, every later one
    // does.
    public void write(long offset, MemorySegment source) throws IOException {
        for (long done = 0; done < source.byteSize(); done += MAX_WRITE_BYTES) {
            long bytes = Math.min(MAX_WRITE_BYTES, source.byteSize() - done);
            file.write(offset + done, source.asSlice(done, bytes));
        }
        dirty = true;
    }

    /** As {@link #write}, of what the caller can write again until {@link #syncRewritten} returns. */
    public void rewrite(long offset, WriteVector pieces) throws IOException {
        file.write(offset, pieces);
    }

    /** Run after a sync failed: the system may have dropped what was written since the one before. */
    void whenSyncFails(Runnable action) {
        syncFailed = action;
    }

    /** Whether {@link #sync} has failed, for good. */
    boolean syncFailed() {
        return failure != null;
    }

    /** As {@link StoreFile#nextData}. */
    long nextData(long position) throws IOException {
        return file.nextData(position);
    }

    /** As {@link StoreFile#nextHole}. */
    long nextHole(long position) throws IOException {
        return file.nextHole(position);
    }

    /** As {@link StoreFile#readAhead}. */
    void readAhead(long position, long lengthBytes) {
        file.readAhead(position, lengthBytes);
    }

    /** Whether {@link #clear} costs much less than writing as many bytes. */
    boolean clearsFast(boolean punchHole) {
        return file.zeroesFast(punchHole);
    }

    /** Makes the range zero and, if it may become one, a hole. */
    public void clear(long offset, long lengthBytes, boolean punchHole) throws IOException {
        clearAgain(offset, lengthBytes, punchHole);
        dirty = true;
    }

    /** As {@link #clear}, of what the caller can clear again until {@link #syncRewritten} returns. */
    public void clearAgain(long offset, long lengthBytes, boolean punchHole) throws IOException {
        if (punchHole) {
            file.punchHole(offset, lengthBytes);
        } else {
            file.zero(offset, lengthBytes);
        }
    }

    /**
     * Makes every change that returned before durable.
     *
     * @throws IOException if it is not, now or ever: after a failed sync the system may have dropped the data, so that a later
     *     success would say nothing
     */
    public void sync() throws IOException {
        syncing.lock();
        try {
            IOException before = failure;
            if (before != null) {
                throw new SyncFailedException("a sync failed before: " + before.getMessage(), before);
            }
            if (dirty) {
                dirty = false;
                syncOrFail(true);
            }
        } finally {
            syncing.unlock();
        }
    }

    /**
     * Makes what was written by {@link #rewrite} and {@link #clearAgain} durable. A sync that failed before this call is not held against
     * it, and its own failure leaves the caller free to write and sync again; but what others wrote and had not synced is lost then, as
     * after a failed {@link #sync}.
     */
    public void syncRewritten() throws IOException {
        syncing.lock();
        try {
            boolean others = dirty;
            dirty = false;
            syncOrFail(others);
        } finally {
            syncing.unlock();
        }
    }

    private void syncOrFail(boolean isFinal) throws IOException {
        try {
            file.sync();
        } catch (IOException e) {
            if (isFinal && failure == null) {
                failure = e;
            }
            syncFailed.run();
            throw new SyncFailedException(String.valueOf(e.getMessage()), e);
        }
    }

    /** Syncs what it can and gives the file free. No other call may be running or follow. */
    @Override
    public void close() throws IOException {
        try (lockChannel;
                file) {
            if (!readOnly && failure == null) {
                sync();
            }
        }
    }
}
