package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files segments are in: makes them ahead of need, takes them back, deletes what is too many. A new file is filled with
 * zeroes and synced in the background, because appending to allocated, written blocks needs no file system metadata and so
 * makes a commit's {@code fdatasync} two to three times as fast. Thread-safe.
 */
final class SegmentPool implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SegmentPool.class);
    private static final int MAX_SPARES = 2;
    private static final int FILL_BYTES = 1 << 20;
    private static final String SUFFIX = SegmentEntry.SUFFIX;

    private final StoreFiles files;
    private final Path directory;
    private final long segmentBytes;
    private final ExecutorService preparer;
    private final ArrayDeque<SegmentFile> spares = new ArrayDeque<>();
    private final Set<Integer> slots = new HashSet<>();
    private boolean preparing;
    private boolean closed;

    SegmentPool(StoreFiles files, Path directory, long segmentBytes) {
        this.files = files;
        this.directory = directory;
        this.segmentBytes = segmentBytes;
        this.preparer = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().name("journal-prepare").daemon().factory());
    }

    long segmentBytes() {
        return segmentBytes;
    }

    /** Opens the file a catalogued segment is in. */
    SegmentFile reopen(SegmentEntry entry) throws IOException {
        Path path = entry.path(directory);
        if (!Files.exists(path)) {
            throw new IOException(path + ": this part of the journal is missing; restore it, nothing was started");
        }
        StoreFile file = files.open(path, StoreFiles.Access.READ_WRITE);
        if (file.sizeBytes() < entry.sizeBytes()) {
            long size = file.sizeBytes();
            file.close();
            throw new IOException(path + ": this part of the journal has " + size + " bytes instead of "
                    + entry.sizeBytes() + "; restore it, nothing was started");
        }
        synchronized (this) {
            slots.add(entry.slot());
        }
        return new SegmentFile(entry.slot(), file, entry.sizeBytes());
    }

    /** Deletes files no segment is in: spares of an earlier run. */
    synchronized void deleteStrays() throws IOException {
        try (var listing = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            for (Path path : listing) {
                String name = path.getFileName().toString();
                if (!slots.contains(slotOf(name))) {
                    Files.delete(path);
                }
            }
        }
    }

    /** A file for a new segment: a spare if there is one. */
    SegmentFile take() throws IOException {
        SegmentFile spare;
        synchronized (this) {
            spare = spares.pollFirst();
            if (spares.isEmpty() && !preparing && !closed) {
                preparing = true;
                preparer.execute(this::prepare);
            }
        }
        return spare != null ? spare : create(false);
    }

    /** Takes back a file whose segment nobody needs or reads any more. */
    void giveBack(SegmentFile file) {
        synchronized (this) {
            if (!closed && spares.size() < MAX_SPARES && file.sizeBytes() == segmentBytes) {
                spares.addLast(file);
                return;
            }
            slots.remove(file.slot());
        }
        try {
            file.file().close();
            Files.deleteIfExists(file.file().path());
        } catch (IOException e) {
            LOG.warn("could not remove a segment of the journal: {}", e.toString());
        }
    }

    private void prepare() {
        @Nullable SegmentFile prepared = null;
        try {
            prepared = create(true);
        } catch (IOException e) {
            // Whoever needs the file next tries again, and answers for it.
            LOG.debug("no spare segment: {}", e.toString());
        }
        synchronized (this) {
            preparing = false;
        }
        if (prepared != null) {
            giveBack(prepared);
        }
    }

    private SegmentFile create(boolean fill) throws IOException {
        int slot = freeSlot();
        Path path = SegmentEntry.path(directory, slot);
        @Nullable StoreFile file = null;
        try {
            file = files.open(path, StoreFiles.Access.CREATE);
            file.reserve(0, segmentBytes);
            if (fill) {
                fill(file);
                file.sync();
            }
            files.syncDirectory(directory);
            return new SegmentFile(slot, file, segmentBytes);
        } catch (IOException e) {
            if (file != null) {
                file.close();
            }
            Files.deleteIfExists(path);
            synchronized (this) {
                slots.remove(slot);
            }
            throw e;
        }
    }

    private void fill(StoreFile file) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment zeroes = arena.allocate(FILL_BYTES);
            for (long at = 0; at < segmentBytes; at += FILL_BYTES) {
                file.write(at, zeroes.asSlice(0, Math.min(FILL_BYTES, segmentBytes - at)));
            }
        }
    }

    private synchronized int freeSlot() {
        int slot = 0;
        while (!slots.add(slot)) {
            slot++;
        }
        return slot;
    }

    private static int slotOf(String name) {
        try {
            return Integer.parseInt(name.substring(0, name.length() - SUFFIX.length()));
        } catch (NumberFormatException e) {
            return -1;
        }
    }

    @Override
    public void close() {
        preparer.shutdown();
        try {
            if (!preparer.awaitTermination(30, TimeUnit.SECONDS)) {
                LOG.warn("the journal still prepares a segment");
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        synchronized (this) {
            closed = true;
        }
        for (SegmentFile spare = poll(); spare != null; spare = poll()) {
            giveBack(spare);
        }
    }

    private synchronized @Nullable SegmentFile poll() {
        return spares.pollFirst();
    }
}
