package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;

/**
 * One file of records. It lives as long as the journal or a reader holds a reference; the last one to let go hands it to the
 * journal for re-use. The fields about its end are the journal's, under its append lock.
 */
public final class Segment {
    private final long id;
    private final SegmentFile file;
    private final Consumer<Segment> onUnused;
    private final AtomicInteger references = new AtomicInteger(1);

    private long firstSequence;
    private long lastSequence;
    private long end;
    private boolean unsynced;
    /** Newest sequence number of each lane that has records here. */
    private final Map<Integer, Long> newestByLane = new HashMap<>();

    Segment(long id, SegmentFile file, Consumer<Segment> onUnused) {
        this.id = id;
        this.file = file;
        this.onUnused = onUnused;
    }

    public long id() {
        return id;
    }

    /** Its bytes; open as long as a reference is held. */
    public StoreFile file() {
        return file.file();
    }

    SegmentFile segmentFile() {
        return file;
    }

    /** Only while a reference is known to be held by another. */
    public void retain() {
        if (references.getAndIncrement() <= 0) {
            throw new IllegalStateException("segment " + id + " was retained after its end");
        }
    }

    public void release() {
        int left = references.decrementAndGet();
        if (left == 0) {
            onUnused.accept(this);
        } else if (left < 0) {
            throw new IllegalStateException("segment " + id + " was released too often");
        }
    }

    void begin(long sequence) {
        firstSequence = sequence;
        lastSequence = sequence - 1;
    }

    boolean fits(long journalBytes) {
        return end + journalBytes <= file.sizeBytes();
    }

    /** Takes records of one lane into account that were written at its end. */
    void appended(int lane, long newest, long journalBytes) {
        note(lane, newest, journalBytes);
        unsynced = true;
    }

    /** Takes a record into account that recovery found. */
    void note(RecordHeader header) {
        note(header.lane(), header.sequence(), header.journalBytes());
    }

    private void note(int lane, long newest, long journalBytes) {
        end += journalBytes;
        lastSequence = newest;
        newestByLane.merge(lane, newest, Math::max);
    }

    long firstSequence() {
        return firstSequence;
    }

    long lastSequence() {
        return lastSequence;
    }

    long end() {
        return end;
    }

    void markUnsynced() {
        unsynced = true;
    }

    boolean takeUnsynced() {
        boolean was = unsynced;
        unsynced = false;
        return was;
    }

    Map<Integer, Long> newestByLane() {
        return newestByLane;
    }

    SegmentEntry entry(boolean closed) {
        return new SegmentEntry(id, file.slot(), file.sizeBytes(), firstSequence, closed ? lastSequence : -1);
    }

    @Override
    public String toString() {
        return file.file().path().toString();
    }
}
