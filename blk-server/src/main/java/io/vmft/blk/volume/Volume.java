package io.vmft.blk.volume;

import io.vmft.blk.changes.ChangeMap;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalBudget;
import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.JournalWrite;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.SequenceRange;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.snapshot.SnapshotSpace;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One volume. Thread-safe.
 *
 * <p>Locks, in the order they are taken:
 *
 * <ol>
 *   <li>{@code gate}: shared by every change while it takes effect, exclusive for whoever changes admission or mode. So when an
 *       exclusive holder has changed the admission, nothing of the old one is on its way.
 *   <li>{@code order}: append and insert as one step, so that the overlay sees records in the journal's order.
 *   <li>{@code marks}: the durable watermarks; held while they are written.
 * </ol>
 *
 * Nobody waits for journal room while holding one of them. Reads take none.
 */
public final class Volume {
    private static final Logger LOG = LoggerFactory.getLogger(Volume.class);

    /** A seal closes the gate for less: to wait that long costs less than to go elsewhere. */
    private static final long SEAL_NANOS = 1_000_000;

    private final String name;
    private final int lane;
    private final VolumeImage image;
    private final Offer offer;
    private final Journal journal;
    private final JournalBudget.Account budget;
    private final MetaStore meta;
    private final VolumeReader reader;
    private final Allocation allocation;
    private final Pins pins;
    private final Overlay overlay = new Overlay();
    private final ReentrantReadWriteLock gate = new ReentrantReadWriteLock();
    private final ReentrantLock order = new ReentrantLock();
    private final ReentrantLock marksLock = new ReentrantLock();
    private final Set<VolumeView> views = ConcurrentHashMap.newKeySet();
    private final Entrance entrance;

    private volatile Admission admission = Admission.FREE;
    private volatile WriteMode mode = WriteMode.DIRECT;
    /** In mode JOURNALED: whether a flush also syncs, because no commit stands behind it yet. */
    private volatile boolean flushSyncs;

    private volatile long openEpoch;
    private volatile LaneMarks marks;
    private volatile @Nullable String failure;

    /**
     * Makes a volume that nobody is admitted to yet but under its bare name.
     *
     * @param space where committed views keep what changes under them
     * @param changes of this volume
     */
    public Volume(
            String name,
            int lane,
            VolumeImage image,
            Offer offer,
            Journal journal,
            MetaStore meta,
            LaneMarks marks,
            SnapshotSpace space,
            ChangeMap changes) {
        this.name = name;
        this.lane = lane;
        this.image = image;
        this.offer = offer;
        this.journal = journal;
        this.budget = journal.budget().account(lane);
        this.meta = meta;
        this.marks = marks;
        this.reader = new VolumeReader(image, overlay);
        this.entrance = new Entrance(this, offer);
        this.allocation = new Allocation(image, overlay);
        this.pins = new Pins(this, space, changes, InstantSource.system());
        image.whenSyncFails(() -> changes.forget("its image could not be synced"));
    }

    public String name() {
        return name;
    }

    public int lane() {
        return lane;
    }

    public VolumeImage image() {
        return image;
    }

    Offer offer() {
        return offer;
    }

    public Overlay overlay() {
        return overlay;
    }

    /** The points of it that are looked at. */
    public Pins pins() {
        return pins;
    }

    public Admission admission() {
        return admission;
    }

    public WriteMode mode() {
        return mode;
    }

    /** What it uses of the journal. */
    public JournalBudget.Account budget() {
        return budget;
    }

    public LaneMarks marks() {
        return marks;
    }

    /** Why nothing can be read or written any more; null: it can. */
    public @Nullable String failure() {
        return failure;
    }

    /** Stops the volume: every later call fails with {@code why}. */
    public void fail(String why) {
        failure = why;
    }

    // ---- views
    // -------------------------------------------------------------------------------------------------------

    void register(VolumeView view) {
        views.add(view);
    }

    void forget(VolumeView view) {
        views.remove(view);
        entrance.leave(view);
    }

    Entrance entrance() {
        return entrance;
    }

    /** Waits until every change that is under way has returned, at most so long. Changes that come meanwhile wait too. */
    boolean awaitChanges(Duration limit) {
        try {
            if (!gate.writeLock().tryLock(limit.toNanos(), TimeUnit.NANOSECONDS)) {
                return false;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
        gate.writeLock().unlock();
        return true;
    }

    void checkAlive() throws IOException {
        String why = failure;
        if (why != null) {
            throw new IOException(name + ": " + why);
        }
    }

    Admission.Role roleOf(long generation) {
        return admission.role(generation);
    }

    private void checkWritable(VolumeView view) throws IOException {
        checkAlive();
        view.checkOpen();
        if (roleOf(view.generation()) != Admission.Role.PRIMARY) {
            throw fenced(view.generation());
        }
        if (image.readOnly()) {
            throw new IOException(name + " is read-only");
        }
    }

    FencedException fenced(long generation) {
        return new FencedException(name, generation, admission.primary());
    }

    VolumeReader reader() {
        return reader;
    }

    Allocation allocation() {
        return allocation;
    }

    /**
     * Changes a range on behalf of a view.
     *
     * @param data the new bytes for WRITE, null otherwise
     * @throws FencedException if the generation may not write when the change would take effect
     * @throws io.vmft.blk.export.DisplacedException if the view has lost its place by then
     */
    void change(VolumeView view, RecordKind kind, long offset, long lengthBytes, @Nullable MemorySegment data)
            throws IOException {
        checkWritable(view);
        if (data == null || lengthBytes <= journal.maxPayloadBytes()) {
            changePart(view, kind, offset, lengthBytes, data);
            return;
        }
        for (long done = 0; done < lengthBytes; ) {
            long step = Math.min(journal.maxPayloadBytes(), lengthBytes - done);
            changePart(view, kind, offset + done, step, data.asSlice(done, step));
            done += step;
        }
    }

    private void changePart(
            VolumeView view, RecordKind kind, long offset, long lengthBytes, @Nullable MemorySegment data)
            throws IOException {
        if (mode == WriteMode.DIRECT && changeImage(view, kind, offset, lengthBytes, data)) {
            return;
        }
        int crc = data == null ? 0 : Bytes.crc(data);
        long bytes = JournalRecord.budgetBytes(data == null ? 0 : lengthBytes);
        while (true) {
            budget.reserve(bytes);
            gate.readLock().lock();
            if (journalAndLeave(view, kind, offset, lengthBytes, data, crc)
                    || changeImage(view, kind, offset, lengthBytes, data)) {
                return;
            }
        }
    }

    /** With room taken and the gate held, which is let go. False if the mode is DIRECT: then, and on a failure, the room is given back. */
    private boolean journalAndLeave(
            VolumeView view, RecordKind kind, long offset, long lengthBytes, @Nullable MemorySegment data, int crc)
            throws IOException {
        boolean journaled = false;
        try {
            checkWritable(view);
            if (mode != WriteMode.DIRECT) {
                appendOrdered(kind, offset, lengthBytes, data, crc);
                journaled = true;
            }
            return journaled;
        } finally {
            gate.readLock().unlock();
            if (!journaled) {
                budget.release(JournalRecord.budgetBytes(data == null ? 0 : lengthBytes));
            }
        }
    }

    private void appendOrdered(RecordKind kind, long offset, long lengthBytes, @Nullable MemorySegment data, int crc)
            throws IOException {
        order.lock();
        try {
            overlay.insert(journal.append(lane, openEpoch, kind, offset, lengthBytes, data, crc));
        } finally {
            order.unlock();
        }
    }

    /**
     * Journals writes on behalf of a view as if one after the other, by as few system calls as can be. Waits neither for room nor, for
     * longer than a seal, at the gate.
     *
     * @return how many, from the first on, took effect: 0 if the volume does not journal, or the view may not write, or the journal is
     *     full, or the gate is closed, or the first one failed. Each of the others finds out by itself
     */
    int journalTogether(VolumeView view, List<ExportView.Write> writes) {
        List<JournalWrite> staged = stage(writes);
        long reserved = budgetBytes(staged);
        if (staged.isEmpty() || !budget.tryReserve(reserved)) {
            return 0;
        }
        if (!enterAtOnce()) {
            budget.release(reserved);
            return 0;
        }
        int done = 0;
        try {
            checkWritable(view);
            while (mode != WriteMode.DIRECT && done < staged.size()) {
                done += appendOrdered(staged.subList(done, staged.size()));
            }
        } catch (IOException e) {
            LOG.debug(
                    "{}: {} of {} writes could not be journaled together",
                    name,
                    staged.size() - done,
                    staged.size(),
                    e);
        } finally {
            gate.readLock().unlock();
            budget.release(budgetBytes(staged.subList(done, staged.size())));
        }
        return done;
    }

    /**
     * Journals a write on behalf of a view if that waits neither for room nor, for longer than a seal, at the gate.
     *
     * @return false: it would wait, or one record cannot hold it, or the volume does not journal; nothing was changed
     */
    boolean journalAtOnce(VolumeView view, long offset, MemorySegment data) throws IOException {
        long bytes = JournalRecord.budgetBytes(data.byteSize());
        if (mode == WriteMode.DIRECT || data.byteSize() > journal.maxPayloadBytes() || !budget.tryReserve(bytes)) {
            return false;
        }
        int crc = Bytes.crc(data);
        if (!enterAtOnce()) {
            budget.release(bytes);
            return false;
        }
        return journalAndLeave(view, RecordKind.WRITE, offset, data.byteSize(), data, crc);
    }

    /** Takes the gate as a change does, unless somebody has closed it or waits to for longer than a seal. */
    private boolean enterAtOnce() {
        try {
            return gate.readLock().tryLock(SEAL_NANOS, TimeUnit.NANOSECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return false;
        }
    }

    /** Those at the front that one record each can hold, and that lie in native memory. */
    private List<JournalWrite> stage(List<ExportView.Write> writes) {
        List<JournalWrite> staged = new ArrayList<>(writes.size());
        for (ExportView.Write write : writes) {
            MemorySegment data = Bytes.inPlace(write.data());
            if (data == null || data.byteSize() == 0 || data.byteSize() > journal.maxPayloadBytes()) {
                break;
            }
            staged.add(new JournalWrite(write.offset(), data, Bytes.crc(data)));
        }
        return staged;
    }

    private static long budgetBytes(List<JournalWrite> writes) {
        long bytes = 0;
        for (JournalWrite write : writes) {
            bytes += write.budgetBytes();
        }
        return bytes;
    }

    private int appendOrdered(List<JournalWrite> writes) throws IOException {
        order.lock();
        try {
            List<JournalRecord> records = journal.append(lane, openEpoch, writes);
            overlay.insert(records);
            return records.size();
        } finally {
            order.unlock();
        }
    }

    /** False if the mode is not DIRECT. */
    private boolean changeImage(
            VolumeView view, RecordKind kind, long offset, long lengthBytes, @Nullable MemorySegment data)
            throws IOException {
        gate.readLock().lock();
        try {
            checkWritable(view);
            if (mode != WriteMode.DIRECT) {
                return false;
            }
            pins.beforeChange(offset, lengthBytes);
            if (data != null) {
                image.write(offset, data);
            } else {
                image.clear(offset, lengthBytes, kind == RecordKind.TRIM);
            }
            return true;
        } finally {
            gate.readLock().unlock();
        }
    }

    /** Whether a flush does nothing: every commit stands behind the flushes before it. */
    boolean flushesAtOnce() {
        return mode == WriteMode.JOURNALED && !flushSyncs;
    }

    /** Makes what returned before as safe as the mode promises. */
    void flush() throws IOException {
        checkAlive();
        switch (mode) {
            case DIRECT -> image.sync();
            case JOURNALED -> {
                if (flushSyncs) {
                    image.sync();
                    journal.sync(journal.lastSequence());
                }
            }
            case DRAINING -> {
                image.sync();
                commitOpen();
            }
        }
    }

    /**
     * Commits everything journaled so far. Only what was written in mode DRAINING may be uncommitted and not sealed; in other
     * modes this does nothing.
     */
    public void commitOpen() throws IOException {
        long boundary;
        gate.readLock().lock();
        try {
            if (mode != WriteMode.DRAINING || overlay.uncommittedBytes() == 0) {
                return;
            }
            order.lock();
            try {
                boundary = journal.lastSequence();
                overlay.freeze(boundary);
            } finally {
                order.unlock();
            }
        } finally {
            gate.readLock().unlock();
        }
        journal.sync(boundary);
        marksLock.lock();
        try (MetaStore.Batch batch = meta.batch()) {
            if (marks.committed() < boundary) {
                batch.putCommitted(lane, boundary).write(true);
                marks = new LaneMarks(boundary, marks.applied(), marks.dropped());
            }
        } finally {
            marksLock.unlock();
        }
        overlay.commitThrough(boundary);
    }

    // ---- for the coordinator, which holds the gate exclusively where it says so
    // ---------------------------------------

    /** Waits until no change is on its way, and keeps new ones waiting. */
    public void closeGate() {
        gate.writeLock().lock();
    }

    public void openGate() {
        gate.writeLock().unlock();
    }

    /** Changes who is admitted. Gate closed. Views no longer admitted fail from now on; {@link #revokeFenced} cuts them. */
    public void admit(Admission next) {
        requireGate();
        admission = next;
    }

    /** Tells the owners of views that are no longer admitted. Not under any lock. */
    public void revokeFenced() {
        for (VolumeView view : views) {
            if (roleOf(view.generation()) == Admission.Role.NONE) {
                view.revoke();
            }
        }
    }

    /** Ends every view. */
    public void revokeAll() {
        views.forEach(VolumeView::revoke);
        pins.revokeAll();
    }

    /** Closes the image, and remembers what changed. No view may be in use. */
    public void close() throws IOException {
        pins.closeAll();
        boolean synced = false;
        try {
            image.close();
            synced = !image.syncFailed();
        } finally {
            pins.changes().close(synced);
        }
    }

    /**
     * Writes from now on belong to {@code epoch}. Gate closed.
     *
     * @param untilCommitSyncFlushes whether a flush also syncs, because there is no commit behind it yet
     */
    public void journal(long epoch, boolean untilCommitSyncFlushes) {
        requireGate();
        mode = WriteMode.JOURNALED;
        flushSyncs = untilCommitSyncFlushes;
        openEpoch = epoch;
    }

    /** From the first commit on a flush costs nothing. */
    public void commitsStandBehindFlushes() {
        flushSyncs = false;
    }

    /** Draws the line between what is at or below {@code boundary} and what follows. Gate closed. */
    public void seal(long boundary) {
        requireGate();
        overlay.freeze(boundary);
    }

    /** As {@link #seal(long)}, at the end of an epoch. Gate closed. */
    public void seal(long boundary, long epoch) {
        requireGate();
        overlay.freeze(boundary, epoch);
    }

    /** Stops journaling; what the journal holds is drained. Gate closed. */
    public void drain() {
        requireGate();
        overlay.endEpochs();
        mode = overlay.isEmpty() ? WriteMode.DIRECT : WriteMode.DRAINING;
    }

    /** Turns DIRECT if it is DRAINING and nothing is left. Gate closed. */
    public boolean finishDraining() {
        requireGate();
        if (mode == WriteMode.DRAINING && overlay.isEmpty()) {
            mode = WriteMode.DIRECT;
            return true;
        }
        return false;
    }

    /** Held around writing this volume's watermarks together with others'. */
    public void lockMarks() {
        marksLock.lock();
    }

    public void unlockMarks() {
        marksLock.unlock();
    }

    /** Adds a commit through {@code boundary} to a batch. Marks locked. */
    public LaneMarks putCommitted(MetaStore.Batch batch, long boundary) throws IOException {
        long committed = Math.max(marks.committed(), boundary);
        batch.putCommitted(lane, committed);
        return new LaneMarks(committed, marks.applied(), marks.dropped());
    }

    /** Adds to a batch that this volume's records above {@code after} up to {@code last} count as never written. Marks locked. */
    public LaneMarks putDropped(MetaStore.Batch batch, LaneMarks base, long after, long last) throws IOException {
        if (last <= after || base.dropped().contains(new SequenceRange(after, last))) {
            return base;
        }
        List<SequenceRange> dropped = new ArrayList<>(base.dropped());
        dropped.add(new SequenceRange(after, last));
        batch.putDropped(lane, dropped);
        return new LaneMarks(base.committed(), base.applied(), dropped);
    }

    /** Puts into effect what was written durably. Marks locked. */
    public void setMarks(LaneMarks durable) {
        marks = durable;
        overlay.commitThrough(durable.committed());
    }

    /** Forgets what is above the commit point. Gate closed, and durably dropped before. */
    public void dropUncommitted() {
        requireGate();
        budget.release(overlay.dropAfter(marks.committed()));
    }

    // ---- for the applier
    // ----------------------------------------------------------------------------------------------

    /**
     * The image holds everything through {@code sequence}, durably: remembers that, forgets the layer that was being applied, and
     * only then lets the journal go, because readers find its segments through the layer.
     */
    public void applied(long sequence) throws IOException {
        LaneMarks next;
        marksLock.lock();
        try (MetaStore.Batch batch = meta.batch()) {
            next = marks.appliedThrough(sequence);
            batch.putApplied(lane, next.applied());
            if (!next.dropped().equals(marks.dropped())) {
                batch.putDropped(lane, next.dropped());
            }
            batch.write(true);
            marks = next;
        } finally {
            marksLock.unlock();
        }
        overlay.applied();
        journal.settle(lane, next.applied());
    }

    // ---- for recovery, before anything is served
    // ----------------------------------------------------------------------

    /** Puts a record back that recovery found. In the order of sequence numbers. */
    public void restore(JournalRecord record) {
        budget.occupy(record.budgetBytes());
        overlay.insert(record);
    }

    private void requireGate() {
        if (!gate.isWriteLockedByCurrentThread()) {
            throw new IllegalStateException(name + ": the gate must be closed for this");
        }
    }

    @Override
    public String toString() {
        return name;
    }
}
