package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import java.util.Arrays;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Extents that never overlap, in volume order; a newer one displaces what it covers. Not thread-safe, but several threads may read while
 * nobody changes it.
 *
 * <p>A tree of two levels, in arrays: leaves of some dozens of extents, and where each leaf begins. To put one extent is two binary
 * searches and moving what follows it in its leaf. One takes 24 bytes beside its record where leaves are full, 35 as random writes
 * leave them, and the collector has nothing to follow but the records: of a map of objects it has three more for each.
 *
 * <p>A <em>cursor</em> stands for an extent until the map is changed; {@link #NONE} for none.
 *
 * <p>INVARIANT: no leaf is empty, except the only one of an empty map.
 */
final class ExtentMap implements Iterable<Extent> {
    static final long NONE = -1;

    private static final int LEAF_EXTENTS = 64;
    private static final Leaf NO_LEAF = new Leaf();

    private final int leafExtents;
    private Leaf[] leaves = new Leaf[4];
    /** Where the first extent of each leaf starts. */
    private long[] firsts = new long[4];

    private int leafCount = 1;

    ExtentMap() {
        this(LEAF_EXTENTS);
    }

    /** Makes an empty map with leaves of so many extents, at least 2. */
    ExtentMap(int leafExtents) {
        this.leafExtents = leafExtents;
        leaves[0] = new Leaf();
    }

    void put(long start, long end, JournalRecord record) {
        int at = leafOf(start);
        Leaf leaf = leaves[at];
        int index = leaf.from(start);
        if (index < leaf.size && leaf.starts[index] == start && leaf.ends[index] == end) {
            leaf.records[index] = record;
            return;
        }
        if (index > 0 && leaf.ends[index - 1] > start) {
            long coveredEnd = leaf.ends[index - 1];
            leaf.ends[index - 1] = start;
            if (coveredEnd > end) {
                insert(at, index, end, coveredEnd, leaf.record(index - 1));
                put(start, end, record);
                return;
            }
        }
        clear(at, index, end);
        insert(at, index, start, end, record);
    }

    /** Puts everything of a newer map on top. */
    void putAll(ExtentMap newer) {
        for (int at = 0; at < newer.leafCount; at++) {
            Leaf leaf = newer.leaves[at];
            for (int i = 0; i < leaf.size; i++) {
                put(leaf.starts[i], leaf.ends[i], leaf.record(i));
            }
        }
    }

    /** The first extent that ends after {@code position}. */
    long find(long position) {
        int at = leafOf(position);
        Leaf leaf = leaves[at];
        int index = leaf.from(position);
        if (index > 0 && leaf.ends[index - 1] > position) {
            index--;
        }
        return index < leaf.size ? cursor(at, index) : firstOf(at + 1);
    }

    long next(long cursor) {
        int at = leafAt(cursor);
        int index = indexAt(cursor) + 1;
        return index < leaves[at].size ? cursor(at, index) : firstOf(at + 1);
    }

    long start(long cursor) {
        return leaves[leafAt(cursor)].starts[indexAt(cursor)];
    }

    long end(long cursor) {
        return leaves[leafAt(cursor)].ends[indexAt(cursor)];
    }

    JournalRecord record(long cursor) {
        return leaves[leafAt(cursor)].record(indexAt(cursor));
    }

    @Override
    public Iterator<Extent> iterator() {
        return new Iterator<>() {
            private long cursor = find(0);

            @Override
            public boolean hasNext() {
                return cursor != NONE;
            }

            @Override
            public Extent next() {
                if (cursor == NONE) {
                    throw new NoSuchElementException();
                }
                Extent extent = new Extent(start(cursor), end(cursor), record(cursor));
                cursor = ExtentMap.this.next(cursor);
                return extent;
            }
        };
    }

    private long firstOf(int at) {
        return at < leafCount ? cursor(at, 0) : NONE;
    }

    private static long cursor(int at, int index) {
        return (long) at << 32 | index;
    }

    private static int leafAt(long cursor) {
        return (int) (cursor >>> 32);
    }

    private static int indexAt(long cursor) {
        return (int) cursor;
    }

    /** The leaf an extent that starts there is or would be in: the last one that begins at or before it, else the first. */
    private int leafOf(long start) {
        int found = Arrays.binarySearch(firsts, 0, leafCount, start);
        return found >= 0 ? found : Math.max(-found - 2, 0);
    }

    /** Takes everything away from there on that lies before {@code end}, nothing of which starts before what is to be put there. */
    private void clear(int at, int index, long end) {
        Leaf leaf = leaves[at];
        if (index < leaf.size) {
            leaf.remove(index, leaf.cutBefore(end, index));
            if (index < leaf.size) {
                return;
            }
        }
        int next = at + 1;
        if (next == leafCount || firsts[next] >= end) {
            return;
        }
        int kept = next;
        while (kept < leafCount && leaves[kept].ends[leaves[kept].size - 1] <= end) {
            kept++;
        }
        removeLeaves(next, kept);
        if (next < leafCount) {
            Leaf right = leaves[next];
            right.remove(0, right.cutBefore(end, 0));
            firsts[next] = right.starts[0];
        }
    }

    private void insert(int at, int index, long start, long end, JournalRecord record) {
        int leaf = at;
        int i = index;
        int size = leaves[at].size;
        if (size == leafExtents) {
            // Who writes on and on leaves full leaves behind.
            boolean behindAll = i == size && at == leafCount - 1;
            insertLeaf(at + 1, behindAll ? new Leaf() : leaves[at].splitOff(size / 2));
            if (behindAll || i > leaves[at].size) {
                i -= leaves[at].size;
                leaf++;
            }
        }
        leaves[leaf].insert(i, start, end, record, leafExtents);
        if (i == 0) {
            firsts[leaf] = start;
        }
    }

    private void insertLeaf(int at, Leaf leaf) {
        if (leafCount == leaves.length) {
            leaves = Arrays.copyOf(leaves, 2 * leafCount);
            firsts = Arrays.copyOf(firsts, 2 * leafCount);
        }
        System.arraycopy(leaves, at, leaves, at + 1, leafCount - at);
        System.arraycopy(firsts, at, firsts, at + 1, leafCount - at);
        leaves[at] = leaf;
        firsts[at] = leaf.starts[0];
        leafCount++;
    }

    private void removeLeaves(int from, int to) {
        System.arraycopy(leaves, to, leaves, from, leafCount - to);
        System.arraycopy(firsts, to, firsts, from, leafCount - to);
        int left = leafCount - (to - from);
        Arrays.fill(leaves, left, leafCount, NO_LEAF);
        leafCount = left;
    }

    private static final class Leaf {
        private static final int FIRST_EXTENTS = 8;

        private long[] starts;
        private long[] ends;
        private @Nullable JournalRecord[] records;
        private int size;

        Leaf() {
            this(new long[FIRST_EXTENTS], new long[FIRST_EXTENTS], new JournalRecord[FIRST_EXTENTS], 0);
        }

        private Leaf(long[] starts, long[] ends, @Nullable JournalRecord[] records, int size) {
            this.starts = starts;
            this.ends = ends;
            this.records = records;
            this.size = size;
        }

        JournalRecord record(int index) {
            return Objects.requireNonNull(records[index]);
        }

        /** The first extent that starts at or after {@code position}. */
        int from(long position) {
            int found = Arrays.binarySearch(starts, 0, size, position);
            return found >= 0 ? found : -found - 1;
        }

        /** The first extent from {@code index} on that does not lie before {@code end}, once what of it does is cut off. */
        int cutBefore(long end, int index) {
            int to = from(end);
            if (to > index && ends[to - 1] > end) {
                to--;
                starts[to] = end;
            }
            return to;
        }

        void insert(int index, long start, long end, JournalRecord record, int most) {
            if (size == starts.length) {
                int room = Math.min(2 * size, most);
                starts = Arrays.copyOf(starts, room);
                ends = Arrays.copyOf(ends, room);
                records = Arrays.copyOf(records, room);
            }
            move(index, index + 1);
            starts[index] = start;
            ends[index] = end;
            records[index] = record;
        }

        void remove(int from, int to) {
            int before = size;
            move(to, from);
            Arrays.fill(records, size, before, null);
        }

        /** Puts all from one index on at another. */
        private void move(int from, int to) {
            int count = size - from;
            System.arraycopy(starts, from, starts, to, count);
            System.arraycopy(ends, from, ends, to, count);
            System.arraycopy(records, from, records, to, count);
            size = to + count;
        }

        /** Takes the last {@code count} away, which are a leaf of their own then. */
        Leaf splitOff(int count) {
            int left = size - count;
            Leaf right = new Leaf(
                    Arrays.copyOfRange(starts, left, left + starts.length),
                    Arrays.copyOfRange(ends, left, left + ends.length),
                    Arrays.copyOfRange(records, left, left + records.length),
                    count);
            Arrays.fill(records, left, size, null);
            size = left;
            return right;
        }
    }
}
