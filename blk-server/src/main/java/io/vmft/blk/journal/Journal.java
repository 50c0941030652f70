package io.vmft.blk.journal;

import io.vmft.blk.export.SyncFailedException;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Appends records, makes them durable, and gives segments back when no lane needs them. Thread-safe.
 *
 * <ul>
 *   <li>Records get their sequence numbers in the order they are appended, without gaps.
 *   <li>A record whose append returned survives the death of this process; one at or below {@link #sync} also a power loss.
 *   <li>A failed sync is final: every later call fails, because nobody can say what the disk holds.
 * </ul>
 *
 * Volumes take their own locks before they call; the journal calls nobody back but {@link SegmentPool}.
 */
public final class Journal implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Journal.class);

    /** The longest payload of one record, unless the segments are small. */
    private static final int MAX_PAYLOAD_BYTES = 4 << 20;

    private final MetaStore meta;
    private final SegmentPool pool;
    private final JournalBudget budget;

    /** Guards everything about the tail and the segments' ends. */
    private final ReentrantLock append = new ReentrantLock();

    private final StagedRecords staged = new StagedRecords();
    private final List<Segment> closedSegments = new ArrayList<>();
    private final List<Segment> unsyncedSegments = new ArrayList<>();
    private final Map<Integer, Long> settled = new HashMap<>();
    private @Nullable Segment active;
    private long lastSequence;
    private long nextSegmentId = 1;
    private boolean catalogueUnsynced;

    /** Held by the one caller that syncs; the others find their work done. */
    private final ReentrantLock syncing = new ReentrantLock();

    private volatile long syncedSequence;
    private volatile @Nullable IOException failure;

    private Journal(MetaStore meta, SegmentPool pool, JournalBudget budget) {
        this.meta = meta;
        this.pool = pool;
        this.budget = budget;
    }

    /**
     * Opens the journal in {@code directory} and goes on after what it finds there, which is never appended to. The first
     * {@link #sync} syncs the found segments too, because an earlier process may not have.
     *
     * @param known what is stored of lanes
     */
    public static Opened open(
            StoreFiles files, Path directory, long segmentBytes, MetaStore meta, JournalBudget budget, Watermarks known)
            throws IOException {
        Files.createDirectories(directory);
        SegmentPool pool = new SegmentPool(files, directory, segmentBytes);
        List<SegmentEntry> entries = new ArrayList<>(meta.segments());
        entries.sort(Comparator.comparingLong(SegmentEntry::firstSequence));
        Journal journal = new Journal(meta, pool, budget);
        journal.settled.putAll(known.settled());
        journal.lastSequence = known.newest();
        JournalScan found;
        try (MetaStore.Batch batch = meta.batch()) {
            Map<Segment, SegmentEntry> segments = new LinkedHashMap<>();
            for (SegmentEntry entry : entries) {
                Segment segment = new Segment(entry.id(), pool.reopen(entry), journal::unused);
                journal.adopt(segment, entry);
                segments.put(segment, entry);
            }
            found = SegmentScans.run(segments, known);
            for (Map.Entry<Segment, SegmentEntry> scanned : segments.entrySet()) {
                Segment segment = scanned.getKey();
                SegmentEntry entry = scanned.getValue();
                journal.lastSequence =
                        Math.max(journal.lastSequence, Math.max(segment.lastSequence(), entry.lastSequence()));
                if (!entry.closed()) {
                    batch.putSegment(segment.entry(true));
                }
            }
            new IndexWitness(meta, directory, files)
                    .check(
                            found.records(),
                            segments.keySet().stream().map(Segment::file).toList(),
                            pool.strays());
            batch.write(false);
            pool.deleteStrays();
        } catch (IOException | RuntimeException e) {
            journal.close();
            throw e;
        }
        return new Opened(journal, found);
    }

    /** An opened journal and what was in it. */
    public record Opened(Journal journal, JournalScan scan) {}

    private void adopt(Segment segment, SegmentEntry entry) {
        segment.markUnsynced();
        closedSegments.add(segment);
        unsyncedSegments.add(segment);
        nextSegmentId = Math.max(nextSegmentId, entry.id() + 1);
        budget.addFileBytes(entry.sizeBytes());
    }

    /** The longest payload one record takes; longer writes become several records. */
    public int maxPayloadBytes() {
        return (int) Math.min(MAX_PAYLOAD_BYTES, pool.segmentBytes() - RecordHeader.BYTES);
    }

    public JournalBudget budget() {
        return budget;
    }

    /** The newest sequence number given out. */
    public long lastSequence() {
        append.lock();
        try {
            return lastSequence;
        } finally {
            append.unlock();
        }
    }

    /**
     * Appends one record. The bytes must have been reserved from the budget, except for SEAL.
     *
     * @param payload native memory of {@code lengthBytes} bytes for WRITE, null otherwise; not kept
     * @param payloadCrc CRC32C of the payload, 0 without one
     */
    public JournalRecord append(
            int lane,
            long epoch,
            RecordKind kind,
            long offset,
            long lengthBytes,
            @Nullable MemorySegment payload,
            int payloadCrc)
            throws IOException {
        append.lock();
        try {
            checkUsable();
            staged.destroyLeftOver();
            Segment segment =
                    activeWithRoom(RecordHeader.journalBytes(payload == null ? 0 : lengthBytes), lastSequence + 1);
            stage(segment, lane, epoch, kind, offset, lengthBytes, payload, payloadCrc);
            return writeStaged(segment, lane).getFirst();
        } finally {
            append.unlock();
        }
    }

    /**
     * Appends several WRITE records, which costs much less than one after the other. Their bytes must have been reserved from the
     * budget.
     *
     * @return the records of as many of them, from the first on, as one system call takes; at least one
     * @throws IOException none was appended
     */
    public List<JournalRecord> append(int lane, long epoch, List<JournalWrite> writes) throws IOException {
        append.lock();
        try {
            checkUsable();
            staged.destroyLeftOver();
            Segment segment = activeWithRoom(journalBytes(writes.getFirst()), lastSequence + 1);
            for (JournalWrite write : writes) {
                if (staged.count() == StagedRecords.MAX_RECORDS
                        || !segment.fits(staged.lengthBytes() + journalBytes(write))) {
                    break;
                }
                MemorySegment data = write.data();
                stage(segment, lane, epoch, RecordKind.WRITE, write.offset(), data.byteSize(), data, write.crc());
            }
            return writeStaged(segment, lane);
        } finally {
            append.unlock();
        }
    }

    private static long journalBytes(JournalWrite write) {
        return RecordHeader.journalBytes(write.data().byteSize());
    }

    private void stage(
            Segment segment,
            int lane,
            long epoch,
            RecordKind kind,
            long offset,
            long lengthBytes,
            @Nullable MemorySegment payload,
            int payloadCrc) {
        long sequence = lastSequence + 1 + staged.count();
        staged.stage(
                segment,
                new RecordHeader(kind, segment.id(), sequence, epoch, lane, payloadCrc, offset, lengthBytes),
                payload);
    }

    private List<JournalRecord> writeStaged(Segment segment, int lane) throws IOException {
        long bytes = staged.lengthBytes();
        List<JournalRecord> records = staged.write(segment);
        lastSequence = records.getLast().sequence();
        segment.appended(lane, lastSequence, bytes);
        return records;
    }

    private Segment activeWithRoom(long journalBytes, long sequence) throws IOException {
        Segment current = active;
        if (current != null && current.fits(journalBytes)) {
            return current;
        }
        SegmentFile file = pool.take();
        Segment next = new Segment(nextSegmentId, file, this::unused);
        next.begin(sequence);
        try (MetaStore.Batch batch = meta.batch()) {
            if (current != null) {
                batch.putSegment(current.entry(true));
            }
            batch.putSegment(next.entry(false));
            batch.write(false);
        } catch (IOException e) {
            pool.giveBack(file);
            throw e;
        }
        catalogueUnsynced = true;
        nextSegmentId++;
        if (current != null) {
            closedSegments.add(current);
        }
        budget.addFileBytes(file.sizeBytes());
        unsyncedSegments.add(next);
        active = next;
        budget.heldFiles(heldFiles());
        return next;
    }

    /**
     * Returns when every record at or below {@code sequence} is durable. Callers that come together share one sync.
     *
     * @throws IOException if that is not known to be so; then the journal takes nothing more
     */
    public void sync(long sequence) throws IOException {
        if (syncedSequence >= sequence) {
            checkUsable();
            return;
        }
        syncing.lock();
        try {
            checkUsable();
            if (syncedSequence < sequence) {
                syncAll();
            }
        } finally {
            syncing.unlock();
        }
    }

    private void syncAll() throws IOException {
        List<Segment> dirty = new ArrayList<>();
        long reached;
        boolean catalogue;
        append.lock();
        try {
            reached = lastSequence;
            catalogue = catalogueUnsynced;
            catalogueUnsynced = false;
            for (Segment segment : unsyncedSegments) {
                if (segment.takeUnsynced()) {
                    segment.retain();
                    dirty.add(segment);
                }
            }
            unsyncedSegments.removeIf(segment -> segment != active);
        } finally {
            append.unlock();
        }
        try {
            for (Segment segment : dirty) {
                segment.file().sync();
            }
            if (catalogue) {
                meta.syncLog();
            }
            syncedSequence = reached;
        } catch (IOException e) {
            fail(e);
            throw new SyncFailedException(String.valueOf(e.getMessage()), e);
        } finally {
            dirty.forEach(Segment::release);
        }
    }

    /** Says that no record of {@code lane} at or below {@code sequence} is needed, durably known elsewhere. */
    public void settle(int lane, long sequence) {
        List<Segment> dead = new ArrayList<>();
        append.lock();
        try {
            settled.merge(lane, sequence, Math::max);
            for (Segment segment : closedSegments) {
                if (isDead(segment)) {
                    dead.add(segment);
                }
            }
            closedSegments.removeAll(dead);
            unsyncedSegments.removeAll(dead);
            if (!dead.isEmpty()) {
                budget.heldFiles(heldFiles());
            }
        } finally {
            append.unlock();
        }
        if (!dead.isEmpty()) {
            forget(dead);
        }
    }

    private Map<Integer, Long> heldFiles() {
        Map<Integer, Long> bytesByLane = new HashMap<>();
        for (Segment segment : closedSegments) {
            segment.newestByLane().forEach((lane, newest) -> {
                if (settled.getOrDefault(lane, 0L) < newest) {
                    bytesByLane.merge(lane, segment.segmentFile().sizeBytes(), Long::sum);
                }
            });
        }
        return bytesByLane;
    }

    private boolean isDead(Segment segment) {
        for (Map.Entry<Integer, Long> lane : segment.newestByLane().entrySet()) {
            if (settled.getOrDefault(lane.getKey(), 0L) < lane.getValue()) {
                return false;
            }
        }
        return true;
    }

    // The catalogue must have forgotten a segment durably before its file is used for another.
    private void forget(List<Segment> dead) {
        try (MetaStore.Batch batch = meta.batch()) {
            for (Segment segment : dead) {
                batch.deleteSegment(segment.id());
            }
            batch.write(true);
        } catch (IOException e) {
            LOG.error("the journal's catalogue could not be written; {} segments stay: {}", dead.size(), e.toString());
            append.lock();
            try {
                closedSegments.addAll(dead);
            } finally {
                append.unlock();
            }
            return;
        }
        dead.forEach(Segment::release);
    }

    private void unused(Segment segment) {
        budget.addFileBytes(-segment.segmentFile().sizeBytes());
        pool.giveBack(segment.segmentFile());
    }

    /**
     * The segments in use, as they are at this moment, to be read while the journal goes on. They stay in use until they are closed.
     */
    public List<SegmentView> look() {
        append.lock();
        try {
            List<Segment> all = new ArrayList<>(closedSegments);
            if (active != null) {
                all.add(active);
            }
            all.sort(Comparator.comparingLong(Segment::firstSequence));
            all.forEach(Segment::retain);
            return all.stream()
                    .map(segment -> SegmentView.of(segment, segment.entry(true)))
                    .toList();
        } finally {
            append.unlock();
        }
    }

    /** The id of the segment that is being filled; 0: none is. */
    public long activeSegment() {
        append.lock();
        try {
            return active == null ? 0 : active.id();
        } finally {
            append.unlock();
        }
    }

    /** Segments in use, the active one too. */
    public int segmentCount() {
        append.lock();
        try {
            return closedSegments.size() + (active == null ? 0 : 1);
        } finally {
            append.unlock();
        }
    }

    private void fail(IOException cause) {
        failure = cause;
        LOG.error("the journal could not be synced and takes nothing more until a restart: {}", cause.toString());
        budget.close();
        try {
            meta.markSuspect();
        } catch (IOException e) {
            LOG.error("and that could not be written down: {}", e.toString());
        }
    }

    private void checkUsable() throws IOException {
        IOException cause = failure;
        if (cause != null) {
            throw new SyncFailedException(
                    "the journal could not be synced before (" + cause.getMessage()
                            + ") and takes nothing more; start the server again",
                    cause);
        }
    }

    /** Closes the files. No other call may be running or follow. */
    @Override
    public void close() {
        pool.close();
        List<Segment> all = new ArrayList<>(closedSegments);
        if (active != null) {
            all.add(active);
        }
        for (Segment segment : all) {
            try {
                segment.file().close();
            } catch (IOException e) {
                LOG.warn("closing the journal: {}", e.toString());
            }
        }
    }
}
