package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Segment;
import java.util.Arrays;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Objects;

/**
 * Extents that never overlap, in volume order; a newer one displaces what it covers. Not thread-safe, but several threads may read while
 * nobody changes it.
 *
 * <p>A tree of two levels, in arrays: leaves of some dozens of extents, and where each leaf begins. To put one extent is two binary
 * searches and moving what follows it in its leaf. Of a record its fields are kept, not the object: one extent takes 48 bytes where leaves are
 * full, 70 as random writes leave them, and the collector has nothing to follow. Records kept as objects, 64 bytes more for each, were
 * marked and moved by every young collection in the midst of a load.
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
    private final SegmentTable segments = new SegmentTable();
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
        put(
                start,
                end,
                record.sequence(),
                record.offset(),
                record.lengthBytes(),
                Source.of(segments.indexOf(record.segment()), record.kind(), record.position()));
    }

    private void put(long start, long end, long sequence, long offset, long lengthBytes, long source) {
        int at = leafOf(start);
        Leaf leaf = leaves[at];
        int index = leaf.from(start);
        if (index < leaf.size && leaf.starts[index] == start && leaf.end(index) == end) {
            leaf.set(index, start, end, sequence, offset, lengthBytes, source);
            return;
        }
        if (index > 0 && leaf.end(index - 1) > start) {
            long coveredEnd = leaf.end(index - 1);
            leaf.setEnd(index - 1, start);
            if (coveredEnd > end) {
                insert(
                        at,
                        index,
                        end,
                        coveredEnd,
                        leaf.sequence(index - 1),
                        leaf.offset(index - 1),
                        leaf.lengthBytes(index - 1),
                        leaf.source(index - 1));
                put(start, end, sequence, offset, lengthBytes, source);
                return;
            }
        }
        clear(at, index, end);
        insert(at, index, start, end, sequence, offset, lengthBytes, source);
    }

    /** Puts everything of a newer map on top. */
    void putAll(ExtentMap newer) {
        int[] indices = segments.indicesOf(newer.segments);
        for (int at = 0; at < newer.leafCount; at++) {
            Leaf leaf = newer.leaves[at];
            for (int i = 0; i < leaf.size; i++) {
                long source = leaf.source(i);
                put(
                        leaf.starts[i],
                        leaf.end(i),
                        leaf.sequence(i),
                        leaf.offset(i),
                        leaf.lengthBytes(i),
                        Source.in(indices[Source.segment(source)], source));
            }
        }
    }

    /** The first extent that ends after {@code position}. */
    long find(long position) {
        int at = leafOf(position);
        Leaf leaf = leaves[at];
        int index = leaf.from(position);
        if (index > 0 && leaf.end(index - 1) > position) {
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
        return leaves[leafAt(cursor)].end(indexAt(cursor));
    }

    RecordKind kind(long cursor) {
        return Source.kind(leaves[leafAt(cursor)].source(indexAt(cursor)));
    }

    long sequence(long cursor) {
        return leaves[leafAt(cursor)].sequence(indexAt(cursor));
    }

    JournalRecord record(long cursor) {
        Leaf leaf = leaves[leafAt(cursor)];
        int index = indexAt(cursor);
        long source = leaf.source(index);
        return new JournalRecord(
                segments.get(Source.segment(source)),
                Source.position(source),
                Source.kind(source),
                leaf.sequence(index),
                leaf.offset(index),
                leaf.lengthBytes(index));
    }

    Extent extent(long cursor) {
        return new Extent(start(cursor), end(cursor), record(cursor));
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
                Extent extent = extent(cursor);
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
        while (kept < leafCount && leaves[kept].end(leaves[kept].size - 1) <= end) {
            kept++;
        }
        removeLeaves(next, kept);
        if (next < leafCount) {
            Leaf right = leaves[next];
            right.remove(0, right.cutBefore(end, 0));
            firsts[next] = right.starts[0];
        }
    }

    private void insert(
            int at, int index, long start, long end, long sequence, long offset, long lengthBytes, long source) {
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
        leaves[leaf].makeRoom(i, leafExtents);
        leaves[leaf].set(i, start, end, sequence, offset, lengthBytes, source);
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

    /** Where a record is, in one number: the segment's index, the record's kind, its position there. */
    private static final class Source {
        private static final int KIND_BITS = 3;
        /** A segment has 1 GiB at most. */
        private static final int POSITION_BITS = 40;

        static long of(int segment, RecordKind kind, long position) {
            return ((long) segment << KIND_BITS | kind.code()) << POSITION_BITS | position;
        }

        /** The same record, in a map where its segment has that index. */
        static long in(int segment, long source) {
            long here = source & ((1L << (KIND_BITS + POSITION_BITS)) - 1);
            return ((long) segment << (KIND_BITS + POSITION_BITS)) | here;
        }

        static int segment(long source) {
            return (int) (source >>> (KIND_BITS + POSITION_BITS));
        }

        static RecordKind kind(long source) {
            byte code = (byte) ((source >>> POSITION_BITS) & ((1 << KIND_BITS) - 1));
            return Objects.requireNonNull(RecordKind.of(code));
        }

        static long position(long source) {
            return source & ((1L << POSITION_BITS) - 1);
        }
    }

    /** The segments that records of the map are in. Those of displaced ones stay: it has no more than the journal had meanwhile. */
    private static final class SegmentTable {
        private Segment[] segments = new Segment[2];
        private int count;

        Segment get(int index) {
            return segments[index];
        }

        /** Its index, which is given it if it has none. */
        int indexOf(Segment segment) {
            // Nearly always the newest.
            for (int i = count - 1; i >= 0; i--) {
                if (segments[i] == segment) {
                    return i;
                }
            }
            if (count == segments.length) {
                segments = Arrays.copyOf(segments, 2 * count);
            }
            segments[count] = segment;
            return count++;
        }

        /** The index here of each of another's. */
        int[] indicesOf(SegmentTable other) {
            int[] indices = new int[other.count];
            for (int i = 0; i < indices.length; i++) {
                indices[i] = indexOf(other.segments[i]);
            }
            return indices;
        }
    }

    private static final class Leaf {
        private static final int FIRST_EXTENTS = 8;

        /** What is kept of an extent beside its start, and where. */
        private static final int FIELDS = 5;

        private static final int END = 0;
        private static final int SEQUENCE = 1;
        private static final int OFFSET = 2;
        private static final int LENGTH = 3;
        private static final int SOURCE = 4;

        private long[] starts;
        private long[] fields;
        private int size;

        Leaf() {
            this(new long[FIRST_EXTENTS], new long[FIRST_EXTENTS * FIELDS], 0);
        }

        private Leaf(long[] starts, long[] fields, int size) {
            this.starts = starts;
            this.fields = fields;
            this.size = size;
        }

        long end(int index) {
            return fields[index * FIELDS + END];
        }

        void setEnd(int index, long end) {
            fields[index * FIELDS + END] = end;
        }

        long sequence(int index) {
            return fields[index * FIELDS + SEQUENCE];
        }

        long offset(int index) {
            return fields[index * FIELDS + OFFSET];
        }

        long lengthBytes(int index) {
            return fields[index * FIELDS + LENGTH];
        }

        long source(int index) {
            return fields[index * FIELDS + SOURCE];
        }

        void set(int index, long start, long end, long sequence, long offset, long lengthBytes, long source) {
            starts[index] = start;
            int at = index * FIELDS;
            fields[at + END] = end;
            fields[at + SEQUENCE] = sequence;
            fields[at + OFFSET] = offset;
            fields[at + LENGTH] = lengthBytes;
            fields[at + SOURCE] = source;
        }

        /** The first extent that starts at or after {@code position}. */
        int from(long position) {
            int found = Arrays.binarySearch(starts, 0, size, position);
            return found >= 0 ? found : -found - 1;
        }

        /** The first extent from {@code index} on that does not lie before {@code end}, once what of it does is cut off. */
        int cutBefore(long end, int index) {
            int to = from(end);
            if (to > index && end(to - 1) > end) {
                to--;
                starts[to] = end;
            }
            return to;
        }

        /** For one more extent, to be set by the caller; the leaf grows up to {@code most}. */
        void makeRoom(int index, int most) {
            if (size == starts.length) {
                int room = Math.min(2 * size, most);
                starts = Arrays.copyOf(starts, room);
                fields = Arrays.copyOf(fields, room * FIELDS);
            }
            move(index, index + 1);
        }

        void remove(int from, int to) {
            move(to, from);
        }

        /** Puts all from one index on at another. */
        private void move(int from, int to) {
            int count = size - from;
            System.arraycopy(starts, from, starts, to, count);
            System.arraycopy(fields, from * FIELDS, fields, to * FIELDS, count * FIELDS);
            size = to + count;
        }

        /** Takes the last {@code count} away, which are a leaf of their own then. */
        Leaf splitOff(int count) {
            int left = size - count;
            Leaf right = new Leaf(
                    Arrays.copyOfRange(starts, left, left + starts.length),
                    Arrays.copyOfRange(fields, left * FIELDS, left * FIELDS + fields.length),
                    count);
            size = left;
            return right;
        }
    }
}
