package io.vmft.blk.journal;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files segments are in: makes them ahead of need, takes them back, deletes what is too many. A new file is filled with
 * zeroes and synced in the background, because appending to allocated, written blocks needs no file system metadata and so
 * makes a commit's {@code fdatasync} two to three times as fast. That writes everything twice, so files that come back
 * are kept for what comes next, the last one first; those nobody needed for a while are deleted, and within two seconds where the
 * file system gets short of room. Thread-safe.
 */
final class SegmentPool implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SegmentPool.class);
    /** Spares that stay for good, and that stay although there is little room. */
    private static final int MIN_SPARES = 2;

    private static final int MAX_SPARES = 16;
    /** Long, as many loads come in bursts: one that finds no spares costs a quarter more until it has its own. */
    private static final Duration IDLE = Duration.ofMinutes(10);
    /** How often spares that may stay are looked at. */
    private static final Duration LOOK = Duration.ofSeconds(2);

    /** The kernel makes page cache units as long as a write, and walks each block of a unit at every append to it. */
    private static final int FILL_BYTES = 64 << 10;

    private static final String SUFFIX = SegmentEntry.SUFFIX;

    /**
     * Room that no new segment takes, for the index: it must be able to say that segments are not needed any more, or a file system
     * that the journal itself has filled would stay full.
     */
    private static final long INDEX_ROOM_BYTES = 24 << 20;

    private final StoreFiles files;
    private final Path directory;
    private final long segmentBytes;
    private final long idleNanos;
    private final Room room;
    private final ScheduledThreadPoolExecutor preparer;
    /** Those that came back last are first. */
    private final ArrayDeque<Spare> spares = new ArrayDeque<>();

    private final Set<Integer> slots = new HashSet<>();
    private boolean preparing;
    private boolean trimming;
    private boolean closed;

    private record Spare(SegmentFile file, long sinceNanos) {}

    /** How much the file system has left. */
    interface Room {
        long usableBytes() throws IOException;
    }

    SegmentPool(StoreFiles files, Path directory, long segmentBytes) {
        this(
                files,
                directory,
                segmentBytes,
                IDLE,
                () -> Files.getFileStore(directory).getUsableSpace());
    }

    /** Makes a pool that deletes what nobody needed for so long. */
    SegmentPool(StoreFiles files, Path directory, long segmentBytes, Duration idle, Room room) {
        this.files = files;
        this.directory = directory;
        this.segmentBytes = segmentBytes;
        this.idleNanos = idle.toNanos();
        this.room = room;
        this.preparer = new ScheduledThreadPoolExecutor(
                1, Thread.ofPlatform().name("journal-prepare").daemon().factory());
        preparer.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
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

    /** Files no segment that was reopened is in: spares of an earlier run. */
    synchronized List<Path> strays() throws IOException {
        List<Path> strays = new ArrayList<>();
        try (var listing = Files.newDirectoryStream(directory, "*" + SUFFIX)) {
            for (Path path : listing) {
                String name = path.getFileName().toString();
                if (!slots.contains(slotOf(name))) {
                    strays.add(path);
                }
            }
        }
        return strays;
    }

    void deleteStrays() throws IOException {
        for (Path stray : strays()) {
            Files.delete(stray);
        }
    }

    /** A file for a new segment: a spare if there is one. */
    SegmentFile take() throws IOException {
        SegmentFile spare;
        int slot = -1;
        synchronized (this) {
            spare = poll();
            if (spare == null) {
                slot = freeSlot();
            }
            if (spares.isEmpty() && !preparing && !closed) {
                preparing = true;
                preparer.execute(this::prepare);
            }
        }
        return spare != null ? spare : create(slot, false);
    }

    /** Takes back a file whose segment nobody needs or reads any more. */
    void giveBack(SegmentFile file) {
        int most = hasRoomFor(MAX_SPARES) ? MAX_SPARES : MIN_SPARES;
        synchronized (this) {
            if (!closed && file.sizeBytes() == segmentBytes && spares.size() < most) {
                spares.addFirst(new Spare(file, System.nanoTime()));
                trimLater();
                return;
            }
        }
        delete(file);
    }

    private boolean hasRoomFor(int segments) {
        try {
            return room.usableBytes() > INDEX_ROOM_BYTES + segments * segmentBytes;
        } catch (IOException e) {
            return false;
        }
    }

    private void trimLater() {
        if (!trimming && spares.size() > MIN_SPARES && !preparer.isShutdown()) {
            trimming = true;
            preparer.schedule(this::trim, Math.min(idleNanos / 4, LOOK.toNanos()), TimeUnit.NANOSECONDS);
        }
    }

    private void trim() {
        List<SegmentFile> idle = new ArrayList<>();
        // Half of what lets them stay when they come back: who is just above does not make and delete them in turn.
        boolean isShort = !hasRoomFor(MAX_SPARES / 2);
        synchronized (this) {
            trimming = false;
            while (spares.size() > MIN_SPARES
                    && (isShort || System.nanoTime() - spares.getLast().sinceNanos() >= idleNanos)) {
                idle.add(spares.removeLast().file());
            }
            if (!closed) {
                trimLater();
            }
        }
        idle.forEach(this::delete);
    }

    /** Its name is used again only when it is gone. */
    private void delete(SegmentFile file) {
        try {
            file.file().close();
            Files.deleteIfExists(file.file().path());
        } catch (IOException e) {
            LOG.warn("could not remove a segment of the journal: {}", e.toString());
            return;
        }
        synchronized (this) {
            slots.remove(file.slot());
        }
    }

    private void prepare() {
        @Nullable SegmentFile prepared = null;
        try {
            prepared = create(freeSlot(), true);
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

    private SegmentFile create(int slot, boolean fill) throws IOException {
        Path path = SegmentEntry.path(directory, slot);
        @Nullable StoreFile file = null;
        try {
            file = files.open(path, StoreFiles.Access.CREATE);
            file.reserve(0, segmentBytes);
            leaveRoomForIndex();
            if (fill) {
                fill(file);
            }
            // Before the catalogue names it: what is catalogued must be there, and as long as it says.
            file.sync();
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

    private void leaveRoomForIndex() throws IOException {
        long left = room.usableBytes();
        if (left < INDEX_ROOM_BYTES) {
            throw new NoSpaceException(directory + ": another segment would leave " + (left >> 20) + " MiB of the "
                    + (INDEX_ROOM_BYTES >> 20) + " MiB that the journal's index may need");
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

    /** Takes it: the caller's, until its file is gone. */
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
        Spare spare = spares.pollFirst();
        return spare == null ? null : spare.file();
    }
}
