package io.vmft.blk.crash;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/**
 * The content of one file: what is durable, and the changes since. After a power cut each sector holds what it held when it was
 * durable or after any later change of it, whatever the others hold. The size is that after any of the changes; but one that a
 * write brought about stands for the bytes that write added (file systems that keep data before size: ext4 with data=ordered, XFS, btrfs).
 */
final class CrashedFile {
    static final int SECTOR_BYTES = 512;

    /** Which changes since the last sync reached the disk. */
    enum Fate {
        DROPPED,
        KEPT,
        /** Up to one, which is torn. */
        CUT,
        /** Each change, or not. */
        REORDERED,
        /** Each sector of each change, or not. */
        SCATTERED
    }

    private record Change(long index, TraceRecord record, int sizeBefore, int sizeAfter) {}

    private byte[] durable = new byte[0];
    private int durableSize;
    private int size;
    private final List<Change> pending = new ArrayList<>();

    /** A file as it was found. */
    static CrashedFile of(byte[] content) {
        CrashedFile file = new CrashedFile();
        file.durable = content.clone();
        file.durableSize = content.length;
        file.size = content.length;
        return file;
    }

    void change(long index, TraceRecord record) {
        int before = size;
        size = sizeAfter(before, record);
        pending.add(new Change(index, record, before, size));
    }

    private static int sizeAfter(int before, TraceRecord record) {
        return switch (record.kind()) {
            case WRITE, RESERVE -> Math.max(before, Math.toIntExact(record.offset() + record.length()));
            case SIZE -> Math.toIntExact(record.offset());
            case ZERO -> before;
            default -> throw new IllegalArgumentException(record.toString());
        };
    }

    /** Everything before {@code index} is durable. */
    void sync(long index) {
        int count = 0;
        while (count < pending.size() && pending.get(count).index < index) {
            Change change = pending.get(count);
            durable = grown(durable, Math.max(change.sizeBefore, change.sizeAfter));
            apply(change, durable);
            durableSize = change.sizeAfter;
            count++;
        }
        pending.subList(0, count).clear();
    }

    boolean isDurable() {
        return pending.isEmpty();
    }

    /** With every change. */
    byte[] content() {
        byte[] content = grown(durable.clone(), largest());
        for (Change change : pending) {
            apply(change, content);
        }
        return Arrays.copyOf(content, size);
    }

    /** As it may be after a power cut. */
    byte[] crashed(Fate fate, Random random) {
        if (pending.isEmpty()) {
            return Arrays.copyOf(durable, durableSize);
        }
        int count = pending.size();
        int cut = random.nextInt(count);
        int sized = switch (fate) {
            case DROPPED -> 0;
            case KEPT -> count;
            case CUT -> cut + random.nextInt(2);
            case REORDERED, SCATTERED -> random.nextInt(count + 1);
        };
        byte[] running = grown(durable.clone(), largest());
        byte[] result = running.clone();
        for (int i = 0; i < count; i++) {
            Change change = pending.get(i);
            apply(change, running);
            keep(change, fate, i - cut, i < sized, random, running, result);
        }
        int end = sized == 0 ? durableSize : pending.get(sized - 1).sizeAfter;
        return Arrays.copyOf(result, end);
    }

    private static void keep(
            Change change, Fate fate, int afterCut, boolean sized, Random random, byte[] running, byte[] result) {
        int start = touchedStart(change);
        int end = touchedEnd(change);
        if (start >= end) {
            return;
        }
        int first = start / SECTOR_BYTES;
        int last = (end - 1) / SECTOR_BYTES;
        int torn = afterCut < 0 ? last + 1 : afterCut > 0 ? first : first + random.nextInt(last - first + 1);
        boolean whole = random.nextBoolean();
        for (int sector = first; sector <= last; sector++) {
            boolean kept = switch (fate) {
                case DROPPED -> false;
                case KEPT -> true;
                case CUT -> sector < torn;
                case REORDERED -> whole;
                case SCATTERED -> random.nextBoolean();
            };
            int from = sector * SECTOR_BYTES;
            int to = Math.min(from + SECTOR_BYTES, running.length);
            // What a size that is kept stands for.
            boolean owed = sized
                    && (change.sizeAfter > change.sizeBefore
                            ? to > change.sizeBefore
                            : change.sizeAfter < change.sizeBefore);
            if (kept || (owed && change.record.kind() != TraceRecord.Kind.RESERVE)) {
                System.arraycopy(running, from, result, from, to - from);
            }
        }
    }

    private static int touchedStart(Change change) {
        return switch (change.record.kind()) {
            case SIZE -> Math.min(change.sizeBefore, change.sizeAfter);
            default -> Math.toIntExact(change.record.offset());
        };
    }

    private static int touchedEnd(Change change) {
        return switch (change.record.kind()) {
            case SIZE -> change.sizeBefore;
            case RESERVE -> 0;
            case ZERO -> (int) Math.min(change.sizeBefore, change.record.offset() + change.record.length());
            default -> Math.toIntExact(change.record.offset() + change.record.length());
        };
    }

    private static void apply(Change change, byte[] content) {
        int start = touchedStart(change);
        int end = touchedEnd(change);
        if (change.record.kind() == TraceRecord.Kind.WRITE) {
            MemorySegment.copy(change.record.data(), ValueLayout.JAVA_BYTE, 0, content, start, end - start);
        } else if (start < end) {
            Arrays.fill(content, start, end, (byte) 0);
        }
    }

    private int largest() {
        int largest = Math.max(durable.length, size);
        for (Change change : pending) {
            largest = Math.max(largest, change.sizeAfter);
        }
        return largest;
    }

    private static byte[] grown(byte[] content, int length) {
        return content.length >= length ? content : Arrays.copyOf(content, length);
    }
}
