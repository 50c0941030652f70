package io.vmft.blk.changes;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.VolumeRegistration;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantLock;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * For each block of one volume the newest point before its last change. Thread-safe.
 *
 * <p>A file of native longs, one a block, 0 where nothing changed since the file was made; points and what tells whether the file can
 * be trusted are in the {@link MetaStore}. A mark is in the page cache before the image changes, so a killed process loses none.
 * Without a point that somebody could ask for there is no file, and marking costs nothing.
 *
 * <p>INVARIANT: a block whose content differs from what it was at a known point E has a mark ≥ E, or a change that is still in the
 * journal. Where that cannot be kept up the points are forgotten, and for a point that is not known everything counts as changed.
 */
public final class ChangeMap implements AutoCloseable {
    public static final int BLOCK_BYTES = 64 << 10;

    private static final Logger LOG = LoggerFactory.getLogger(ChangeMap.class);
    private static final int CHUNK_MARKS = 8192;

    private final String volume;
    private final Path folder;
    private final StoreFiles files;
    private final MetaStore meta;
    private final int lane;
    private final Path image;
    private final long sizeBytes;
    private final long blocks;
    private final ReentrantLock lock = new ReentrantLock();
    /** Changed under the lock. */
    private volatile ChangeState state;

    private volatile @Nullable StoreFile file;
    private volatile @Nullable Interval interval;
    private long mapId;
    private boolean broken;

    /** The time since a point, and which blocks are known to be marked with it. */
    private static final class Interval {
        private final long point;
        private final AtomicLongArray marked;

        Interval(long point, long blocks) {
            this.point = point;
            this.marked = new AtomicLongArray(Math.toIntExact((blocks + 63) / 64));
        }

        boolean isMarked(long first, long last) {
            for (long block = first; block <= last; block++) {
                if ((marked.get((int) (block >> 6)) & 1L << block) == 0) {
                    return false;
                }
            }
            return true;
        }

        void mark(long first, long last) {
            for (long block = first; block <= last; block++) {
                long bit = 1L << block;
                marked.accumulateAndGet((int) (block >> 6), bit, (word, added) -> word | added);
            }
        }
    }

    private ChangeMap(
            String volume,
            Path folder,
            StoreFiles files,
            MetaStore meta,
            int lane,
            Path image,
            long sizeBytes,
            ChangeState state) {
        this.volume = volume;
        this.folder = folder;
        this.files = files;
        this.meta = meta;
        this.lane = lane;
        this.image = image;
        this.sizeBytes = sizeBytes;
        this.blocks = blocks(sizeBytes);
        this.state = state;
    }

    /**
     * Opens a volume's map, or begins one. Before the image changes, and before the meta store is told that this boot is known.
     *
     * @param folder for the marks of all volumes; made if missing
     * @param bootId of the running kernel
     * @throws IOException if the stored state cannot be read or written
     */
    public static ChangeMap open(
            Path folder,
            StoreFiles files,
            MetaStore meta,
            String volume,
            int lane,
            Path image,
            long sizeBytes,
            String bootId)
            throws IOException {
        Files.createDirectories(folder);
        byte[] stored = meta.changes(lane);
        ChangeState state = stored == null ? ChangeState.NONE : ChangeState.decode(stored);
        ChangeMap map = new ChangeMap(volume, folder, files, meta, lane, image, sizeBytes, state);
        if (!state.points().isEmpty()) {
            map.resume(bootId);
        }
        map.state = map.state.opened(ImageStamp.of(image, sizeBytes), bootId);
        if (map.state.newest() > 0) {
            map.store(map.state);
        }
        map.removeOthers();
        return map;
    }

    private void resume(String bootId) throws IOException {
        if (!state.stillHolds(ImageStamp.of(image, sizeBytes), bootId, meta.suspect())
                || !Files.exists(path(state.mapId()))) {
            LOG.info(
                    "{}: what changed since earlier committed views is not known any more; the next backup must be a full one",
                    volume);
            state = state.forgotten();
            return;
        }
        mapId = state.mapId();
        file = files.open(path(mapId), StoreFiles.Access.READ_WRITE);
        interval = new Interval(state.newest(), blocks);
    }

    private Path path(long mapId) {
        return folder.resolve(name(lane, mapId));
    }

    private static String name(int lane, long mapId) {
        return prefix(lane) + Long.toHexString(mapId) + ".map";
    }

    private static String prefix(int lane) {
        return "%06d-".formatted(lane);
    }

    private static long blocks(long sizeBytes) {
        return (sizeBytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    }

    /**
     * What is wrong with what a server left of a volume's map, in a few words; null: nothing, or there is none.
     *
     * @param stored what the index has of it
     */
    public static @Nullable String trouble(Path folder, byte @Nullable [] stored, VolumeRegistration volume) {
        ChangeState state;
        try {
            state = stored == null ? ChangeState.NONE : ChangeState.decode(stored);
        } catch (IOException e) {
            return "index: the points of volume " + volume.name() + " cannot be read (" + e + ")";
        }
        if (state.points().isEmpty()) {
            return null;
        }
        Path file = folder.resolve(name(volume.lane(), state.mapId()));
        long expected = blocks(
                        state.stamp() == null
                                ? volume.sizeBytes()
                                : state.stamp().sizeBytes())
                * 8;
        try {
            if (!Files.isReadable(file)) {
                return file + ": the change map is missing or cannot be read";
            }
            long size = Files.size(file);
            return size < expected ? file + ": the change map has " + size + " bytes instead of " + expected : null;
        } catch (IOException e) {
            return file + ": " + e;
        }
    }

    private void removeOthers() throws IOException {
        Path own = path(state.mapId());
        try (Stream<Path> found = Files.list(folder)) {
            for (Path other : (Iterable<Path>) found::iterator) {
                if (other.getFileName().toString().startsWith(prefix(lane)) && !other.equals(own)) {
                    Files.delete(other);
                }
            }
        }
    }

    /** The newest point ever given out; 0: none. */
    public long newest() {
        return state.newest();
    }

    /** The points that can be answered for, rising. */
    public List<Long> points() {
        return state.points();
    }

    /** Whether what changed since {@code point} is known; otherwise everything counts as changed. */
    public boolean knows(long point) {
        return Collections.binarySearch(state.points(), point) >= 0;
    }

    /**
     * Takes the number for a point to come, durably. It stays without meaning until {@link #begin}.
     *
     * @param nowMillis the wall clock
     */
    public long reserve(long nowMillis) throws IOException {
        lock.lock();
        try {
            long point = Math.max(nowMillis, state.newest() + 1);
            if (!broken && file == null) {
                file = create(point);
                mapId = point;
            }
            ChangeState next = broken ? state.withUnknown(point) : state.with(point, mapId);
            store(next);
            state = next;
            return point;
        } finally {
            lock.unlock();
        }
    }

    /** An empty file, named after its first point. */
    private StoreFile create(long point) throws IOException {
        StoreFile made = files.open(path(point), StoreFiles.Access.CREATE);
        try {
            made.setSize(blocks * 8);
        } catch (IOException e) {
            made.close();
            throw e;
        }
        return made;
    }

    /** From now on changes are later than {@code point}. No change to the image may be under way. */
    public void begin(long point) {
        if (knows(point)) {
            interval = new Interval(point, blocks);
        }
    }

    /** Says that a range of the image is about to change. */
    public void mark(long offset, long lengthBytes) {
        Interval now = interval;
        if (now != null && lengthBytes > 0) {
            mark(now, now.point, offset, lengthBytes);
        }
    }

    /** Says that a range of the image is about to get what was committed after {@code point} and before the next. */
    public void markAfter(long point, long offset, long lengthBytes) {
        Interval now = interval;
        if (now != null && lengthBytes > 0) {
            mark(now, point, offset, lengthBytes);
        }
    }

    private void mark(Interval now, long point, long offset, long lengthBytes) {
        long first = offset / BLOCK_BYTES;
        long last = (offset + lengthBytes - 1) / BLOCK_BYTES;
        boolean current = point == now.point;
        if (current && now.isMarked(first, last)) {
            return;
        }
        try {
            write(first, last, point);
        } catch (IOException e) {
            forget("a change could not be marked: " + e.getMessage());
            return;
        }
        if (current) {
            now.mark(first, last);
        }
    }

    private void write(long first, long last, long point) throws IOException {
        StoreFile marks = Objects.requireNonNull(file);
        try (Arena arena = Arena.ofConfined()) {
            int count = (int) Math.min(CHUNK_MARKS, last - first + 1);
            MemorySegment filled = arena.allocate(JAVA_LONG, count);
            for (int i = 0; i < count; i++) {
                filled.setAtIndex(JAVA_LONG, i, point);
            }
            for (long block = first; block <= last; block += count) {
                marks.write(block * 8, filled.asSlice(0, Math.min(count, last + 1 - block) * 8));
            }
        }
    }

    /** Fills {@code destination} with the marks of consecutive blocks, in native longs. */
    public void read(long firstBlock, MemorySegment destination) throws IOException {
        StoreFile marks = file;
        if (marks == null) {
            destination.fill((byte) 0);
        } else {
            marks.read(firstBlock * 8, destination);
        }
    }

    /** Where marks that are not 0 may begin, at or after {@code block}. */
    public long nextMarked(long block) throws IOException {
        StoreFile marks = file;
        return marks == null ? blocks : Math.min(blocks, marks.nextData(block * 8) / 8);
    }

    /** What changed is not known any more, until the server is started again: for every point so far everything counts as changed. */
    public void forget(String why) {
        lock.lock();
        try {
            if (broken) {
                return;
            }
            broken = true;
            interval = null;
            if (state.points().isEmpty()) {
                return;
            }
            LOG.error("{}: {}; until the server is started again every backup must be a full one", volume, why);
            state = state.forgotten();
            store(state);
        } catch (IOException e) {
            LOG.error("{}: and that could not be written down: {}", volume, e.toString());
        } finally {
            lock.unlock();
        }
    }

    private void store(ChangeState next) throws IOException {
        try (MetaStore.Batch batch = meta.batch()) {
            batch.putChanges(lane, next.encode()).write(true);
        }
    }

    /**
     * Ends it.
     *
     * @param imageSynced whether the image is durable and closed, so that the marks hold after any reboot too
     */
    public void close(boolean imageSynced) throws IOException {
        lock.lock();
        try (StoreFile marks = file) {
            interval = null;
            file = null;
            if (marks != null && imageSynced && !broken) {
                marks.sync();
                store(state.closed(ImageStamp.of(image, sizeBytes)));
            }
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() throws IOException {
        close(false);
    }
}
