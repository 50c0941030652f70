package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * The newest bytes of one volume that the image does not have, in layers. Thread-safe; every call is short.
 *
 * <pre>
 *   open        written since the last boundary           ─┐
 *   sealed n    frozen at a boundary, not committed        │ all
 *   …                                                      │
 *   committed   merged, waits for the applier    ─┐        │
 *   applying    the applier is folding it         │ committed
 *   (image)                                      ─┘       ─┘
 * </pre>
 *
 * A boundary is a sequence number of the journal: everything at or below it is in that layer or an older one.
 *
 * <p>INVARIANT: a record that a layer refers to is in a segment that the journal still holds, so {@link #resolve} may retain it.
 */
public final class Overlay {
    private final ReentrantLock lock = new ReentrantLock();
    private final ArrayDeque<Layer> sealed = new ArrayDeque<>();
    private Layer open = new Layer();
    private @Nullable Layer committed;
    private @Nullable Layer applying;
    private volatile boolean empty = true;

    /** Whether every byte is in the image. */
    public boolean isEmpty() {
        return empty;
    }

    /** Adds what was just appended. Records of one volume must come in the order of their sequence numbers. */
    public void insert(JournalRecord record) {
        lock.lock();
        try {
            open.put(Extent.whole(record), record.budgetBytes());
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
                if (committed == null) {
                    committed = layer;
                } else {
                    committed.absorb(layer);
                }
            }
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
            noteEmptiness();
            return dropped;
        } finally {
            lock.unlock();
        }
    }

    /**
     * The committed layer, to be folded into the image; it stays readable until {@link #applied}, and belongs to the caller
     * to read (nobody changes it any more). The same one again if the last was not finished. Null if there is none.
     */
    public @Nullable Layer takeForApply() {
        lock.lock();
        try {
            if (applying == null) {
                applying = committed;
                committed = null;
            }
            return applying;
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
            return committed == null ? 0 : committed.budgetBytes();
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
     *
     * @param committedOnly leave out what is not committed
     */
    public List<Piece> resolve(long start, long end, boolean committedOnly) {
        List<Piece> pieces = new ArrayList<>(4);
        lock.lock();
        try {
            List<Layer> layers = new ArrayList<>(4 + sealed.size());
            if (!committedOnly) {
                layers.add(open);
                sealed.descendingIterator().forEachRemaining(layers::add);
            }
            if (committed != null) {
                layers.add(committed);
            }
            if (applying != null) {
                layers.add(applying);
            }
            fill(layers, 0, start, end, pieces);
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

    private static void fill(List<Layer> layers, int index, long start, long end, List<Piece> pieces) {
        if (index == layers.size()) {
            pieces.add(new Piece(start, end, null));
            return;
        }
        long at = start;
        for (Extent extent : layers.get(index).within(start, end)) {
            if (extent.start() > at) {
                fill(layers, index + 1, at, extent.start(), pieces);
                at = extent.start();
            }
            long until = Math.min(extent.end(), end);
            pieces.add(new Piece(at, until, extent.record()));
            at = until;
        }
        if (at < end) {
            fill(layers, index + 1, at, end, pieces);
        }
    }

    private void noteEmptiness() {
        empty = open.holdsNothing() && sealed.isEmpty() && committed == null && applying == null;
    }
}
