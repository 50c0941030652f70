package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NavigableMap;
import java.util.TreeMap;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The newest bytes of one volume that the image does not have, in layers. Thread-safe; every call is short.
 *
 * <pre>
 *   open        written since the last boundary           ─┐
 *   sealed n    frozen at a boundary, not committed        │ all
 *   …                                                      │
 *   committed   merged between two points, wait   ─┐        │
 *   …           for the applier                    │        │
 *   applying    the applier is folding it         │ committed
 *   (image)                                      ─┘       ─┘
 * </pre>
 *
 * A boundary is a sequence number of the journal: everything at or below it is in that layer or an older one. A <em>point</em> is a
 * line between commits that somebody wants to look back to: what is committed after it is not merged with what was before.
 *
 * <p>INVARIANT: a record that a layer refers to is in a segment that the journal still holds, so {@link #resolve} may retain it.
 */
public final class Overlay {
    private final ReentrantLock lock = new ReentrantLock();
    private final ArrayDeque<Layer> sealed = new ArrayDeque<>();
    private Layer open = new Layer();
    private final ArrayDeque<Layer> committed = new ArrayDeque<>();
    private @Nullable Layer applying;
    /** Epochs that end at a boundary not committed yet. */
    private final TreeMap<Long, Long> epochEnds = new TreeMap<>();

    private long committedEpoch;
    private long point;
    private boolean changedSincePoint = true;
    private volatile boolean empty = true;

    /** Whether every byte is in the image. */
    public boolean isEmpty() {
        return empty;
    }

    /** Adds what was just appended. Records of one volume must come in the order of their sequence numbers. */
    public void insert(JournalRecord record) {
        lock.lock();
        try {
            open.put(record);
            empty = false;
        } finally {
            lock.unlock();
        }
    }

    /** As {@link #insert(JournalRecord)}, several. */
    public void insert(List<JournalRecord> records) {
        lock.lock();
        try {
            for (JournalRecord record : records) {
                open.put(record);
            }
            empty = false;
        } finally {
            lock.unlock();
        }
    }

    /** Draws a line: what was inserted before belongs at or below {@code boundary}, what follows above. */
    public void freeze(long boundary) {
        lock.lock();
        try {
            freezeLocked(boundary);
        } finally {
            lock.unlock();
        }
    }

    /** As {@link #freeze(long)}, where an epoch ends. */
    public void freeze(long boundary, long epoch) {
        lock.lock();
        try {
            freezeLocked(boundary);
            epochEnds.put(boundary, epoch);
        } finally {
            lock.unlock();
        }
    }

    private void freezeLocked(long boundary) {
        if (!open.holdsNothing()) {
            open.freeze(boundary);
            sealed.addLast(open);
            open = new Layer();
        }
    }

    /** Makes every layer at or below {@code boundary}, which was frozen before, part of what is committed. */
    public void commitThrough(long boundary) {
        lock.lock();
        try {
            while (!sealed.isEmpty() && sealed.getFirst().boundary() <= boundary) {
                Layer layer = sealed.removeFirst();
                layer.commit(point);
                changedSincePoint = true;
                Layer last = committed.peekLast();
                if (last != null && last.afterPoint() == point) {
                    last.absorb(layer);
                } else {
                    committed.addLast(layer);
                }
            }
            NavigableMap<Long, Long> ended = epochEnds.headMap(boundary, true);
            Map.Entry<Long, Long> newest = ended.lastEntry();
            if (newest != null) {
                committedEpoch = newest.getValue();
                ended.clear();
            }
        } finally {
            lock.unlock();
        }
    }

    /**
     * Where the last commit stands.
     *
     * @param point the newest
     * @param epoch the committed one; 0: none since journaling began
     */
    public record Stand(long point, long epoch) {}

    /** Whether something was committed since the newest point. */
    public boolean isChangedSincePoint() {
        lock.lock();
        try {
            return changedSincePoint;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Makes a point of what is committed now.
     *
     * @param next its number, above every point before; 0: the newest point again, if nothing was committed since
     * @return null if something was
     */
    public @Nullable Stand pin(long next) {
        lock.lock();
        try {
            if (next == 0 && changedSincePoint) {
                return null;
            }
            if (next != 0) {
                point = next;
                changedSincePoint = false;
            }
            return new Stand(point, committedEpoch);
        } finally {
            lock.unlock();
        }
    }

    /** Before anything is inserted: the newest point, after which there may have been changes. */
    public void resumePoint(long newest) {
        lock.lock();
        try {
            point = newest;
        } finally {
            lock.unlock();
        }
    }

    /** Says which epoch the last commit was, which recovery knows. */
    public void resumeEpoch(long epoch) {
        lock.lock();
        try {
            committedEpoch = epoch;
        } finally {
            lock.unlock();
        }
    }

    /** The committed epoch; 0: none since journaling began. */
    public long committedEpoch() {
        lock.lock();
        try {
            return committedEpoch;
        } finally {
            lock.unlock();
        }
    }

    /** What is committed from now on is no epoch's. */
    public void endEpochs() {
        lock.lock();
        try {
            epochEnds.clear();
            committedEpoch = 0;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Forgets everything above {@code boundary}, which was frozen before.
     *
     * @return the budget's bytes it took
     */
    public long dropAfter(long boundary) {
        lock.lock();
        try {
            long dropped = open.budgetBytes();
            open = new Layer();
            while (!sealed.isEmpty() && sealed.getLast().boundary() > boundary) {
                dropped += sealed.removeLast().budgetBytes();
            }
            epochEnds.tailMap(boundary, false).clear();
            noteEmptiness();
            return dropped;
        } finally {
            lock.unlock();
        }
    }

    /**
     * The oldest committed layer, to be folded into the image; it stays readable until {@link #applied}, and belongs to the caller
     * to read (nobody changes it any more). The same one again if the last was not finished. Null if there is none.
     */
    public @Nullable Layer takeForApply() {
        lock.lock();
        try {
            if (applying == null) {
                applying = committed.pollFirst();
            }
            return applying;
        } finally {
            lock.unlock();
        }
    }

    /** Whether a layer was taken and is not in the image. */
    public boolean isApplying() {
        lock.lock();
        try {
            return applying != null;
        } finally {
            lock.unlock();
        }
    }

    /** The layer taken is in the image now. */
    public void applied() {
        lock.lock();
        try {
            applying = null;
            noteEmptiness();
        } finally {
            lock.unlock();
        }
    }

    /** Budget bytes that are committed and wait for the applier, without the layer it has taken. */
    public long committedBytes() {
        lock.lock();
        try {
            long bytes = 0;
            for (Layer layer : committed) {
                bytes += layer.budgetBytes();
            }
            return bytes;
        } finally {
            lock.unlock();
        }
    }

    /** Layers that are committed and not in the image, that which the applier has taken, too. */
    public int committedLayers() {
        lock.lock();
        try {
            return committed.size() + (applying == null ? 0 : 1);
        } finally {
            lock.unlock();
        }
    }

    /** Budget bytes above the last commit. */
    public long uncommittedBytes() {
        lock.lock();
        try {
            long bytes = open.budgetBytes();
            for (Layer layer : sealed) {
                bytes += layer.budgetBytes();
            }
            return bytes;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Where the bytes of {@code start..end} are, in volume order and without gaps. Every record returned has its segment
     * retained: the caller calls {@link #release} when it has read them.
     */
    public List<Piece> resolve(long start, long end, Horizon horizon) {
        return resolve(start, end, horizon, Integer.MAX_VALUE);
    }

    /**
     * As {@link #resolve(long, long, Horizon)}, for a range that may be long.
     *
     * @param limit how many pieces at most, from 1; they may end before the range does
     */
    public List<Piece> resolve(long start, long end, Horizon horizon, int limit) {
        List<Piece> pieces = new ArrayList<>(4);
        lock.lock();
        try {
            List<Layer> layers = new ArrayList<>(4 + sealed.size());
            if (horizon.uncommitted()) {
                layers.add(open);
                sealed.descendingIterator().forEachRemaining(layers::add);
            }
            for (Iterator<Layer> newest = committed.descendingIterator(); newest.hasNext(); ) {
                addIfSeen(newest.next(), horizon, layers);
            }
            if (applying != null) {
                addIfSeen(applying, horizon, layers);
            }
            fill(layers, 0, start, end, pieces, limit);
            for (Piece piece : pieces) {
                if (piece.record() != null) {
                    piece.record().segment().retain();
                }
            }
        } finally {
            lock.unlock();
        }
        return pieces;
    }

    /** Gives back what {@link #resolve} retained. */
    public static void release(List<Piece> pieces) {
        for (Piece piece : pieces) {
            if (piece.record() != null) {
                piece.record().segment().release();
            }
        }
    }

    private static void addIfSeen(Layer layer, Horizon horizon, List<Layer> layers) {
        if (horizon.has(layer)) {
            layers.add(layer);
        }
    }

    private static void fill(List<Layer> layers, int index, long start, long end, List<Piece> pieces, int limit) {
        if (index == layers.size()) {
            pieces.add(new Piece(start, end, null));
            return;
        }
        ExtentMap map = layers.get(index).map();
        long at = start;
        for (long extent = map.find(start);
                extent != ExtentMap.NONE && map.start(extent) < end;
                extent = map.next(extent)) {
            long from = map.start(extent);
            if (from > at && pieces.size() < limit) {
                fill(layers, index + 1, at, from, pieces, limit);
                at = from;
            }
            if (pieces.size() >= limit) {
                return;
            }
            long until = Math.min(map.end(extent), end);
            pieces.add(new Piece(at, until, map.record(extent)));
            at = until;
        }
        if (at < end && pieces.size() < limit) {
            fill(layers, index + 1, at, end, pieces, limit);
        }
    }

    private void noteEmptiness() {
        empty = open.holdsNothing() && sealed.isEmpty() && committed.isEmpty() && applying == null;
    }
}
