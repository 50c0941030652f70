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
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import org.rocksdb.ColumnFamilyDescriptor;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.ColumnFamilyOptions;
import org.rocksdb.DBOptions;
import org.rocksdb.InfoLogLevel;
import org.rocksdb.Logger;
import org.rocksdb.ReadOptions;
import org.rocksdb.RocksDB;
import org.rocksdb.RocksDBException;
import org.rocksdb.RocksIterator;
import org.rocksdb.Status;
import org.rocksdb.WALRecoveryMode;

/**
 * What is remembered beside the payload, to be read: as it stands now ({@link MetaStore}), as it stood at one moment
 * ({@link MetaStore#snapshot}), or of a server that does not run ({@link #openReadOnly}). Thread-safe. What cannot be decoded is an
 * {@link IOException} that names the key.
 */
public sealed class MetaView implements AutoCloseable permits MetaStore {
    static final int FORMAT = 1;

    /** For an operator, after what is wrong. */
    static final String WAY_OUT =
            "restore the server's directory as a whole, or start with another --data: without what this journal holds for the images";

    static final byte[] FORMAT_KEY = "format".getBytes(UTF_8);
    static final byte[] BOOT_KEY = "boot".getBytes(UTF_8);
    static final byte[] LANES_KEY = "lanes".getBytes(UTF_8);
    static final byte[] SUSPECT_KEY = "suspect".getBytes(UTF_8);
    static final String HISTORY_PREFIX = "history/";
    static final List<String> FAMILIES = List.of("default", "vm", "volume", "lane", "segment");

    final Path directory;
    final RocksDB db;
    final ColumnFamilyHandle main;
    final ColumnFamilyHandle vms;
    final ColumnFamilyHandle volumes;
    final ColumnFamilyHandle lanes;
    final ColumnFamilyHandle segments;
    /** See {@link MetaStore#markSuspect}. RocksDB leaves it alone. */
    final Path suspectFile;

    private final ReadOptions reading;
    private final Runnable end;

    /**
     * Reads from an open database.
     *
     * @param handles of {@link #FAMILIES}
     * @param reading what is read: the newest, or a snapshot
     * @param end run by {@link #close}; frees what this was given
     */
    MetaView(Path directory, RocksDB db, List<ColumnFamilyHandle> handles, ReadOptions reading, Runnable end) {
        this.directory = directory;
        this.suspectFile = directory.resolve("SUSPECT");
        this.db = db;
        this.main = handles.get(0);
        this.vms = handles.get(1);
        this.volumes = handles.get(2);
        this.lanes = handles.get(3);
        this.segments = handles.get(4);
        this.reading = reading;
        this.end = end;
    }

    /**
     * Opens the index of a server that does not run, and changes nothing in the directory.
     *
     * @param wholeLog refuse if the log has a record that is damaged, unless it is the last one; otherwise everything from there on counts
     *     as never written, as it does for a server that starts
     * @throws IOException if it cannot be opened, or has another format
     */
    public static MetaView openReadOnly(Path directory, boolean wholeLog) throws IOException {
        if (!Files.exists(directory.resolve("CURRENT"))) {
            throw new IOException(directory + ": there is no index in it (CURRENT is missing); " + WAY_OUT);
        }
        RocksLibrary.load();
        ColumnFamilyOptions familyOptions = new ColumnFamilyOptions();
        DBOptions options = new DBOptions()
                .setWalRecoveryMode(
                        wholeLog ? WALRecoveryMode.TolerateCorruptedTailRecords : WALRecoveryMode.PointInTimeRecovery);
        // Otherwise it would begin a log of its own in the directory.
        Logger logger = new Logger(InfoLogLevel.FATAL_LEVEL) {
            @Override
            protected void log(InfoLogLevel level, String message) {}
        };
        options.setLogger(logger);
        ReadOptions reading = new ReadOptions();
        List<ColumnFamilyHandle> handles = new ArrayList<>();
        Runnable freeOptions = () -> {
            reading.close();
            options.close();
            logger.close();
            familyOptions.close();
        };
        RocksDB db;
        try {
            db = RocksDB.openReadOnly(options, directory.toString(), descriptors(familyOptions), handles);
        } catch (RocksDBException e) {
            freeOptions.run();
            throw cannotOpen(directory, e);
        }
        MetaView view = new MetaView(directory, db, handles, reading, () -> {
            handles.forEach(ColumnFamilyHandle::close);
            db.close();
            freeOptions.run();
        });
        try {
            view.checkFormat();
            return view;
        } catch (IOException e) {
            view.close();
            throw e;
        }
    }

    static List<ColumnFamilyDescriptor> descriptors(ColumnFamilyOptions options) {
        return FAMILIES.stream()
                .map(name -> new ColumnFamilyDescriptor(name.getBytes(UTF_8), options))
                .toList();
    }

    /**
     * Refuses another format.
     *
     * @return false: there is none yet
     */
    final boolean checkFormat() throws IOException {
        byte[] format = get(main, FORMAT_KEY);
        if (format == null) {
            return false;
        }
        int found = format.length == 4 ? ByteBuffer.wrap(format).getInt() : -1;
        if (found != FORMAT) {
            throw new FormatException(directory + ": the journal has format " + found + ", this server reads " + FORMAT
                    + "; use the server it was made with, or another --data");
        }
        return true;
    }

    /** The host's boot id when the journal was last opened; null: never. */
    public final @Nullable String bootId() throws IOException {
        byte[] value = get(main, BOOT_KEY);
        return value == null ? null : new String(value, UTF_8);
    }

    /** Whether a sync failed since the last recovery. */
    public final boolean suspect() throws IOException {
        return get(main, SUSPECT_KEY) != null || Files.exists(suspectFile);
    }

    /** Whether nothing was ever stored in it before it was opened here. */
    boolean isNew() {
        return false;
    }

    /** How many changes it has seen by now; of one moment's view too, not by that moment. */
    final long version() {
        return db.getLatestSequenceNumber();
    }

    /** The newest lane number given out. */
    public final int lastLane() throws IOException {
        return decode(main, LANES_KEY, 0, ByteBuffer::getInt);
    }

    /** The arbiter's records, opaque here, by VM. */
    public final Map<String, byte[]> vms() throws IOException {
        Map<String, byte[]> found = new TreeMap<>();
        forEach(vms, (key, value) -> found.put(new String(key, UTF_8), value));
        return found;
    }

    /** What was put by {@link MetaStore.Batch#putHistory}. */
    public final byte @Nullable [] history(String vm) throws IOException {
        return get(main, historyKey(vm));
    }

    public final Map<String, VolumeRegistration> volumes() throws IOException {
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

    public final LaneMarks lane(int lane) throws IOException {
        long committed = decode(lanes, laneKey(lane, 'c'), 0L, ByteBuffer::getLong);
        long applied = decode(lanes, laneKey(lane, 'a'), 0L, ByteBuffer::getLong);
        List<SequenceRange> dropped = decode(lanes, laneKey(lane, 'd'), List.of(), buffer -> {
            List<SequenceRange> ranges = new ArrayList<>();
            while (buffer.hasRemaining()) {
                ranges.add(new SequenceRange(buffer.getLong(), buffer.getLong()));
            }
            return ranges;
        });
        return new LaneMarks(committed, applied, dropped);
    }

    /** Lanes that have watermarks. */
    public final Set<Integer> lanes() throws IOException {
        Set<Integer> found = new TreeSet<>();
        forEach(lanes, (key, _) -> found.add(ByteBuffer.wrap(key).getInt()));
        return found;
    }

    /** What was put by {@link MetaStore.Batch#putChanges}. */
    public final byte @Nullable [] changes(int lane) throws IOException {
        return get(lanes, laneKey(lane, 'p'));
    }

    /** The catalogue of segments, by id. */
    public final List<SegmentEntry> segments() throws IOException {
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

    /** Reads every file of the index that is in use and compares checksums. */
    public final void verifyChecksums() throws IOException {
        try {
            db.verifyChecksum();
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    @Override
    public void close() {
        end.run();
    }

    private interface Entry {
        void accept(byte[] key, byte[] value) throws IOException;
    }

    private void forEach(ColumnFamilyHandle family, Entry entry) throws IOException {
        try (RocksIterator iterator = db.newIterator(family, reading)) {
            for (iterator.seekToFirst(); iterator.isValid(); iterator.next()) {
                byte[] key = iterator.key();
                try {
                    entry.accept(key, iterator.value());
                } catch (BufferUnderflowException | IllegalArgumentException e) {
                    throw undecodable(family, key, e);
                }
            }
            iterator.status();
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    private interface Decoder<T> {
        T decode(ByteBuffer value);
    }

    private <T> T decode(ColumnFamilyHandle family, byte[] key, T absent, Decoder<T> decoder) throws IOException {
        byte[] value = get(family, key);
        if (value == null) {
            return absent;
        }
        try {
            return decoder.decode(ByteBuffer.wrap(value));
        } catch (BufferUnderflowException | IllegalArgumentException e) {
            throw undecodable(family, key, e);
        }
    }

    private byte @Nullable [] get(ColumnFamilyHandle family, byte[] key) throws IOException {
        try {
            return db.get(family, reading, key);
        } catch (RocksDBException e) {
            throw failure(e);
        }
    }

    private IOException undecodable(ColumnFamilyHandle family, byte[] key, RuntimeException e) {
        StringBuilder shown = new StringBuilder();
        for (byte b : key) {
            shown.append(b > ' ' && b < 127 ? String.valueOf((char) b) : "\\x%02x".formatted(b));
        }
        String name = FAMILIES.get(List.of(main, vms, volumes, lanes, segments).indexOf(family));
        return new IOException(
                "the journal's index: what it has under " + name + " " + shown + " cannot be read; " + WAY_OUT, e);
    }

    static IOException cannotOpen(Path directory, RocksDBException e) {
        return new IOException(
                "the journal's index " + directory + " cannot be opened (" + e.getMessage() + "); "
                        + (isNoSpace(e) ? "make room there" : "see that it can be read and written, " + WAY_OUT),
                e);
    }

    static IOException failure(RocksDBException e) {
        String message = "the journal's index: " + e.getMessage();
        IOException failure = isNoSpace(e)
                ? new NoSpaceException(message)
                : new IOException(message + "; " + (isCorruption(e) ? WAY_OUT : "look at its disk"));
        failure.initCause(e);
        return failure;
    }

    private static boolean isCorruption(RocksDBException e) {
        return e.getStatus() != null && e.getStatus().getCode() == Status.Code.Corruption;
    }

    private static boolean isNoSpace(RocksDBException e) {
        return e.getStatus() != null && e.getStatus().getSubCode() == Status.SubCode.NoSpace;
    }

    static byte[] historyKey(String vm) {
        return (HISTORY_PREFIX + vm).getBytes(UTF_8);
    }

    static byte[] laneKey(int lane, char what) {
        return ByteBuffer.allocate(5).putInt(lane).put((byte) what).array();
    }

    private static String rest(ByteBuffer buffer) {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return new String(bytes, UTF_8);
    }
}
