package io.vmft.blk.journal;

import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.ColumnFamilyOptions;
import org.rocksdb.DBOptions;
import org.rocksdb.InfoLogLevel;
import org.rocksdb.ReadOptions;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksDBException;
import org.rocksdb.Snapshot;
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
 *                  "history/" name         opaque: the last changes of the arbiter's record
 *   vm             name                    opaque: the arbiter's record
 *   volume         name                    u32 lane, u64 size, image path
 *   lane           u32 lane, 'c'           u64 committed
 *                  u32 lane, 'a'           u64 applied
 *                  u32 lane, 'd'           pairs of u64: dropped ranges
 *                  u32 lane, 'p'           opaque: the volume's points
 *   segment        u64 id                  u32 slot, u64 size, u64 first sequence, i64 last sequence or -1
 * </pre>
 */
public final class MetaStore extends MetaView {
    private static final Pattern LOG_SYNCS = Pattern.compile("Cumulative WAL: \\S+ writes, (\\d+) syncs");

    private final WriteOptions synced = new WriteOptions().setSync(true);
    private final WriteOptions unsynced = new WriteOptions().setSync(false);
    private final AtomicLong durableVersion = new AtomicLong();
    private boolean isNew;

    private MetaStore(Path directory, RocksDB db, List<ColumnFamilyHandle> handles, ReadOptions reading, Runnable end) {
        super(directory, db, handles, reading, end);
    }

    /** Opens or creates it. */
    public static MetaStore open(Path directory) throws IOException {
        Files.createDirectories(directory);
        RocksLibrary.load();
        ColumnFamilyOptions familyOptions = new ColumnFamilyOptions().setWriteBufferSize(4 << 20);
        DBOptions options = new DBOptions()
                .setCreateIfMissing(!holdsData(directory))
                .setCreateMissingColumnFamilies(true)
                .setInfoLogLevel(InfoLogLevel.WARN_LEVEL)
                .setKeepLogFileNum(2)
                .setMaxTotalWalSize(16 << 20);
        ReadOptions reading = new ReadOptions();
        Runnable freeOptions = () -> {
            reading.close();
            options.close();
            familyOptions.close();
        };
        List<ColumnFamilyHandle> handles = new ArrayList<>();
        RocksDB db;
        try {
            db = RocksDB.open(options, directory.toString(), descriptors(familyOptions), handles);
        } catch (RocksDBException e) {
            freeOptions.run();
            throw cannotOpen(directory, e);
        }
        MetaStore store = new MetaStore(directory, db, handles, reading, () -> {
            handles.forEach(ColumnFamilyHandle::close);
            db.close();
            freeOptions.run();
        });
        try {
            if (!store.checkFormat()) {
                store.isNew = true;
                store.db.put(store.main, store.synced, FORMAT_KEY, u32(FORMAT));
            }
            return store;
        } catch (IOException e) {
            store.close();
            throw e;
        } catch (RocksDBException e) {
            store.close();
            throw failure(e);
        }
    }

    /** Whether there was an index, though its beginning may be missing: RocksDB would make a new one then and delete what is left. */
    private static boolean holdsData(Path directory) throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.anyMatch(
                    file -> file.toString().endsWith(".sst") || file.toString().endsWith(".log"));
        }
    }

    @Override
    boolean isNew() {
        return isNew;
    }

    /** A {@link #version} that is durable: no later one that is opened here is smaller, unless something was lost. */
    public long durableVersion() {
        return durableVersion.get();
    }

    /** Everything as it stands at this moment; to be closed. */
    public MetaView snapshot() {
        Snapshot moment = db.getSnapshot();
        ReadOptions reading = new ReadOptions().setSnapshot(moment);
        return new MetaView(directory, db, List.of(main, vms, volumes, lanes, segments), reading, () -> {
            reading.close();
            db.releaseSnapshot(moment);
        });
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
        super.close();
        synced.close();
        unsynced.close();
    }

    /** Not thread-safe. Ended by one {@link #write}, or by {@link #close}. */
    public final class Batch implements AutoCloseable {
        private final WriteBatch batch = new WriteBatch();
        private boolean endsSuspicion;

        private Batch() {}

        public Batch putVm(String name, byte[] record) throws IOException {
            return put(vms, name.getBytes(UTF_8), record);
        }

        /** What happened to a VM, as its record's owner writes it. */
        public Batch putHistory(String vm, byte[] history) throws IOException {
            return put(main, historyKey(vm), history);
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

    private static byte[] u32(int value) {
        return ByteBuffer.allocate(4).putInt(value).array();
    }

    private static byte[] u64(long value) {
        return ByteBuffer.allocate(8).putLong(value).array();
    }
}
