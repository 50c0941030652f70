package io.vmft.blk.journal;

import static java.nio.charset.StandardCharsets.UTF_8;

import io.vmft.blk.export.NoSpaceException;
import java.io.IOException;
import java.nio.BufferUnderflowException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.rocksdb.ColumnFamilyDescriptor;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.ColumnFamilyOptions;
import org.rocksdb.DBOptions;
import org.rocksdb.InfoLogLevel;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksDBException;
import org.rocksdb.RocksIterator;
import org.rocksdb.Status;
import org.rocksdb.WriteBatch;
import org.rocksdb.WriteOptions;

/**
 * What must be remembered beside the payload: a RocksDB with few, small values. Thread-safe; concurrent synced writes share one
 * sync.
 *
 * <pre>
 *   column family  key                     value (big-endian)
 *   default        "format"                u32 FORMAT
 *                  "boot"                  the host's boot id when the journal was last opened
 *                  "lanes"                 u32, the last lane number given out
 *                  "suspect"               present: a sync failed, trust only what was synced before; the file SUSPECT says it too
 *   vm             name                    opaque: the arbiter's record
 *   volume         name                    u32 lane, u64 size, image path
 *   lane           u32 lane, 'c'           u64 committed
 *                  u32 lane, 'a'           u64 applied
 *                  u32 lane, 'd'           pairs of u64: dropped ranges
 *                  u32 lane, 'p'           opaque: the volume's points
 *   segment        u64 id                  u32 slot, u64 size, u64 first sequence, i64 last sequence or -1
 * </pre>
 */
public final class MetaStore implements AutoCloseable {
    static final int FORMAT = 1;

    /** For an operator, after what is wrong. */
    static final String WAY_OUT =
            "restore the server's directory as a whole, or start with another --data: without what this journal holds for the images";

    private static final Pattern LOG_SYNCS = Pattern.compile("Cumulative WAL: \\S+ writes, (\\d+) syncs");
    private static final byte[] FORMAT_KEY = "format".getBytes(UTF_8);
    private static final byte[] BOOT_KEY = "boot".getBytes(UTF_8);
    private static final byte[] LANES_KEY = "lanes".getBytes(UTF_8);
    private static final byte[] SUSPECT_KEY = "suspect".getBytes(UTF_8);
    private static final List<String> FAMILIES = List.of("default", "vm", "volume", "lane", "segment");

    private final RocksDB db;
    private final DBOptions options;
    private final ColumnFamilyOptions familyOptions;
    private final WriteOptions synced = new WriteOptions().setSync(true);
    private final WriteOptions unsynced = new WriteOptions().setSync(false);
    private final ColumnFamilyHandle main;
    private final ColumnFamilyHandle vms;
    private final ColumnFamilyHandle volumes;
    private final ColumnFamilyHandle lanes;
    private final ColumnFamilyHandle segments;
    /** See {@link #markSuspect}. RocksDB leaves it alone. */
    private final Path suspectFile;

    private final AtomicLong durableVersion = new AtomicLong();
    private boolean isNew;

    private MetaStore(
            Path directory,
            RocksDB db,
            DBOptions options,
            ColumnFamilyOptions familyOptions,
            List<ColumnFamilyHandle> handles) {
        this.suspectFile = directory.resolve("SUSPECT");
        this.db = db;
        this.options = options;
        this.familyOptions = familyOptions;
        this.main = handles.get(0);
        this.vms = handles.get(1);
        this.volumes = handles.get(2);
        this.lanes = handles.get(3);
        this.segments = handles.get(4);
    }

    /** Opens or creates it. */
    public static MetaStore open(Path directory) throws IOException {
        Files.createDirectories(directory);
        RocksDB.loadLibrary();
        ColumnFamilyOptions familyOptions = new ColumnFamilyOptions().setWriteBufferSize(4 << 20);
        DBOptions options = new DBOptions()
                .setCreateIfMissing(!holdsData(directory))
                .setCreateMissingColumnFamilies(true)
                .setInfoLogLevel(InfoLogLevel.WARN_LEVEL)
                .setKeepLogFileNum(2)
                .setMaxTotalWalSize(16 << 20);
        List<ColumnFamilyDescriptor> descriptors = FAMILIES.stream()
                .map(name -> new ColumnFamilyDescriptor(name.getBytes(UTF_8), familyOptions))
                .toList();
        List<ColumnFamilyHandle> handles = new ArrayList<>();
        try {
            RocksDB db = RocksDB.open(options, directory.toString(), descriptors, handles);
            MetaStore store = new MetaStore(directory, db, options, familyOptions, handles);
            store.checkFormat(directory);
            return store;
        } catch (RocksDBException e) {
            options.close();
            familyOptions.close();
            throw new IOException(
                    "the journal's index " + directory + " cannot be opened (" + e.getMessage() + "); "
                            + (isNoSpace(e) ? "make room there" : "see that it can be read and written, " + WAY_OUT),
                    e);
        }
    }

    /** Whether there was an index, though its beginning may be missing: RocksDB would make a new one then and delete what is left. */
    private static boolean holdsData(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.anyMatch(
                    file -> file.toString().endsWith(".sst") || file.toString().endsWith(".log"));
        }
    }

    private void checkFormat(Path directory) throws IOException {
        byte[] format = get(FORMAT_KEY);
        if (format == null) {
            isNew = true;
            try {
                db.put(main, synced, FORMAT_KEY, u32(FORMAT));
            } catch (RocksDBException e) {
                throw failure(e);
            }
            return;
        }
        int found = ByteBuffer.wrap(format).getInt();
        if (found != FORMAT) {
            close();
            throw new IOException(directory + ": the journal has format " + found + ", this server reads " + FORMAT
                    + "; use the server it was made with, or another --data");
        }
    }

    /** Whether it was made by this {@link #open}. */
    boolean isNew() {
        return isNew;
    }

    /** How many changes it has seen. */
    long version() {
        return db.getLatestSequenceNumber();
    }

    /** A {@link #version} that is durable: no later one that is opened here is smaller, unless something was lost. */
    public long durableVersion() {
        return durableVersion.get();
    }

    /** The host's boot id when the journal was last opened; null: never. */
    public @Nullable String bootId() throws IOException {
        byte[] value = get(BOOT_KEY);
        return value == null ? null : new String(value, UTF_8);
    }

    /** Whether a sync failed since the last recovery. */
    public boolean suspect() throws IOException {
        return get(SUSPECT_KEY) != null || Files.exists(suspectFile);
    }

    int lastLane() throws IOException {
        byte[] value = get(LANES_KEY);
        return value == null ? 0 : ByteBuffer.wrap(value).getInt();
    }

    /** A lane number never given out before. Durable with the next synced write. */
    public synchronized int newLane() throws IOException {
        int lane = lastLane() + 1;
        try {
            db.put(main, unsynced, LANES_KEY, u32(lane));
        } catch (RocksDBException e) {
            throw failure(e);
        }
        return lane;
    }

    public Map<String, byte[]> vms() throws IOException {
        Map<String, byte[]> found = new TreeMap<>();
        forEach(vms, (key, value) -> found.put(new String(key, UTF_8), value));
        return found;
    }

    public Map<String, VolumeRegistration> volumes() throws IOException {
        Map<String, VolumeRegistration> found = new TreeMap<>();
        forEach(volumes, (key, value) -> {
            String name = new String(key, UTF_8);
            ByteBuffer buffer = ByteBuffer.wrap(value);
            int lane = buffer.getInt();
            long size = buffer.getLong();
            found.put(name, new VolumeRegistration(name, lane, size, rest(buffer)));
        });
        return found;
    }

    public LaneMarks lane(int lane) throws IOException {
        byte[] committed = get(lanes, laneKey(lane, 'c'));
        byte[] applied = get(lanes, laneKey(lane, 'a'));
        byte[] dropped = get(lanes, laneKey(lane, 'd'));
        List<SequenceRange> ranges = new ArrayList<>();
        if (dropped != null) {
            for (ByteBuffer buffer = ByteBuffer.wrap(dropped); buffer.hasRemaining(); ) {
                ranges.add(new SequenceRange(buffer.getLong(), buffer.getLong()));
            }
        }
        return new LaneMarks(
                committed == null ? 0 : ByteBuffer.wrap(committed).getLong(),
                applied == null ? 0 : ByteBuffer.wrap(applied).getLong(),
                ranges);
    }

    /** What was put by {@link Batch#putChanges}. */
    public byte @Nullable [] changes(int lane) throws IOException {
        return get(lanes, laneKey(lane, 'p'));
    }

    List<SegmentEntry> segments() throws IOException {
        List<SegmentEntry> found = new ArrayList<>();
        forEach(segments, (key, value) -> {
            ByteBuffer buffer = ByteBuffer.wrap(value);
            found.add(new SegmentEntry(
                    ByteBuffer.wrap(key).getLong(),
                    buffer.getInt(),
                    buffer.getLong(),
                    buffer.getLong(),
                    buffer.getLong()));
        });
        return found;
    }

    /** Changes that take effect together or not at all. */
    public Batch batch() {
        return new Batch();
    }

    /** How often its log was synced since it was opened, as RocksDB says. */
    public long logSyncs() throws IOException {
        try {
            Matcher syncs = LOG_SYNCS.matcher(db.getProperty("rocksdb.dbstats"));
            return syncs.find() ? Long.parseLong(syncs.group(1)) : -1;
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    /** Makes every write so far durable. */
    void syncLog() throws IOException {
        try {
            db.syncWal();
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    /**
     * Remembers, if it can, that a sync failed. A disk that fails may take no more of RocksDB's log; a file's name in the system's memory
     * is enough, because after the next boot nothing unsynced is trusted anyway.
     */
    void markSuspect() throws IOException {
        if (!Files.exists(suspectFile)) {
            Files.createFile(suspectFile);
        }
        try {
            db.put(main, synced, SUSPECT_KEY, new byte[0]);
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    @Override
    public void close() {
        List.of(main, vms, volumes, lanes, segments).forEach(ColumnFamilyHandle::close);
        db.close();
        synced.close();
        unsynced.close();
        options.close();
        familyOptions.close();
    }

    /** Not thread-safe. Ended by one {@link #write}, or by {@link #close}. */
    public final class Batch implements AutoCloseable {
        private final WriteBatch batch = new WriteBatch();
        private boolean endsSuspicion;

        private Batch() {}

        public Batch putVm(String name, byte[] record) throws IOException {
            return put(vms, name.getBytes(UTF_8), record);
        }

        public Batch putVolume(VolumeRegistration volume) throws IOException {
            byte[] image = volume.image().getBytes(UTF_8);
            byte[] value = ByteBuffer.allocate(12 + image.length)
                    .putInt(volume.lane())
                    .putLong(volume.sizeBytes())
                    .put(image)
                    .array();
            return put(volumes, volume.name().getBytes(UTF_8), value);
        }

        public Batch putCommitted(int lane, long sequence) throws IOException {
            return put(lanes, laneKey(lane, 'c'), u64(sequence));
        }

        public Batch putApplied(int lane, long sequence) throws IOException {
            return put(lanes, laneKey(lane, 'a'), u64(sequence));
        }

        public Batch putDropped(int lane, List<SequenceRange> ranges) throws IOException {
            ByteBuffer value = ByteBuffer.allocate(ranges.size() * 16);
            for (SequenceRange range : ranges) {
                value.putLong(range.after()).putLong(range.last());
            }
            return put(lanes, laneKey(lane, 'd'), value.array());
        }

        /** What a volume remembers of its points. */
        public Batch putChanges(int lane, byte[] state) throws IOException {
            return put(lanes, laneKey(lane, 'p'), state);
        }

        /** The running kernel's boot id; also, the journal is no longer suspect. */
        public Batch putBootId(String bootId) throws IOException {
            try {
                batch.delete(main, SUSPECT_KEY);
            } catch (RocksDBException e) {
                throw failure(e);
            }
            endsSuspicion = true;
            return put(main, BOOT_KEY, bootId.getBytes(UTF_8));
        }

        Batch putSegment(SegmentEntry entry) throws IOException {
            byte[] value = ByteBuffer.allocate(28)
                    .putInt(entry.slot())
                    .putLong(entry.sizeBytes())
                    .putLong(entry.firstSequence())
                    .putLong(entry.lastSequence())
                    .array();
            return put(segments, u64(entry.id()), value);
        }

        Batch deleteSegment(long id) throws IOException {
            try {
                batch.delete(segments, u64(id));
            } catch (RocksDBException e) {
                throw failure(e);
            }
            return this;
        }

        private Batch put(ColumnFamilyHandle family, byte[] key, byte[] value) throws IOException {
            try {
                batch.put(family, key, value);
            } catch (RocksDBException e) {
                throw failure(e);
            }
            return this;
        }

        /**
         * Applies the batch.
         *
         * @param durable return only when it survives a power loss, and everything written before it too
         */
        public void write(boolean durable) throws IOException {
            try {
                long before = durable ? version() : 0;
                db.write(durable ? synced : unsynced, batch);
                if (durable) {
                    // A synced write makes all before it durable too, so at least as many changes as there were and its
                    // own.
                    durableVersion.accumulateAndGet(before + batch.count(), Math::max);
                }
            } catch (RocksDBException e) {
                throw failure(e);
            }
            if (endsSuspicion) {
                Files.deleteIfExists(suspectFile);
            }
        }

        @Override
        public void close() {
            batch.close();
        }
    }

    private interface Entry {
        void accept(byte[] key, byte[] value) throws IOException;
    }

    private void forEach(ColumnFamilyHandle family, Entry entry) throws IOException {
        try (RocksIterator iterator = db.newIterator(family)) {
            for (iterator.seekToFirst(); iterator.isValid(); iterator.next()) {
                entry.accept(iterator.key(), iterator.value());
            }
            iterator.status();
        } catch (RocksDBException e) {
            throw failure(e);
        } catch (BufferUnderflowException e) {
            throw new IOException("the journal's index holds a value that is too short", e);
        }
    }

    private byte @Nullable [] get(byte[] key) throws IOException {
        return get(main, key);
    }

    private byte @Nullable [] get(ColumnFamilyHandle family, byte[] key) throws IOException {
        try {
            return db.get(family, key);
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    private static IOException failure(RocksDBException e) {
        String message = "the journal's index: " + e.getMessage();
        IOException failure = isNoSpace(e)
                ? new NoSpaceException(message)
                : new IOException(isCorruption(e) ? message + "; " + WAY_OUT : message);
        failure.initCause(e);
        return failure;
    }

    private static boolean isCorruption(RocksDBException e) {
        return e.getStatus() != null && e.getStatus().getCode() == Status.Code.Corruption;
    }

    private static boolean isNoSpace(RocksDBException e) {
        return e.getStatus() != null && e.getStatus().getSubCode() == Status.SubCode.NoSpace;
    }

    private static byte[] laneKey(int lane, char what) {
        return ByteBuffer.allocate(5).putInt(lane).put((byte) what).array();
    }

    private static byte[] u32(int value) {
        return ByteBuffer.allocate(4).putInt(value).array();
    }

    private static byte[] u64(long value) {
        return ByteBuffer.allocate(8).putLong(value).array();
    }

    private static String rest(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return new String(bytes, UTF_8);
    }
}
