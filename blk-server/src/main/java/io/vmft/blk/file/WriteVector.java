package io.vmft.blk.file;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/**
 * Pieces of native memory that are written as if they were one, without a copy. What was added stays the caller's and must stay
 * valid until it is {@link #clear cleared}. Made once and used again; not thread-safe.
 */
public final class WriteVector {
    /** The system's own limit ({@code IOV_MAX}). */
    private static final int MAX_PIECES = 1024;

    /** {@code struct iovec}: base, length. */
    private static final int ENTRY_BYTES = 16;

    private final MemorySegment entries = Arena.ofAuto().allocate((long) MAX_PIECES * ENTRY_BYTES, Long.BYTES);
    /** Keeps the memory there that {@link #entries} points to, where an arena of its own frees it. */
    private final List<MemorySegment> pieces = new ArrayList<>();
    /** The first piece that is not yet written whole. */
    private int first;

    /** Adds a piece behind the others. */
    public void add(MemorySegment piece) {
        add(piece, 0, piece.byteSize());
    }

    /** Adds a part of a piece of memory behind the others. */
    public void add(MemorySegment memory, long offset, long lengthBytes) {
        if (isFull()) {
            throw new IllegalStateException("more than " + MAX_PIECES + " pieces");
        }
        if (!memory.isNative()) {
            throw new IllegalArgumentException("not native memory: " + memory);
        }
        Objects.checkFromIndexSize(offset, lengthBytes, memory.byteSize());
        if (lengthBytes > 0) {
            set(pieces.size(), memory.address() + offset, lengthBytes);
            pieces.add(memory);
        }
    }

    public boolean isEmpty() {
        return pieces.isEmpty();
    }

    /** Whether it takes no more pieces. */
    public boolean isFull() {
        return pieces.size() == MAX_PIECES;
    }

    public void clear() {
        pieces.clear();
        first = 0;
    }

    boolean isWritten() {
        return first == pieces.size();
    }

    /** What is not yet written, as the system wants it. */
    MemorySegment remaining() {
        return entries.asSlice((long) first * ENTRY_BYTES);
    }

    int remainingCount() {
        return pieces.size() - first;
    }

    /** So many bytes more are written. */
    void written(long bytes) {
        for (long left = bytes; left > 0; ) {
            long length = entries.get(JAVA_LONG, (long) first * ENTRY_BYTES + Long.BYTES);
            if (left < length) {
                set(first, entries.get(JAVA_LONG, (long) first * ENTRY_BYTES) + left, length - left);
                return;
            }
            left -= length;
            first++;
        }
    }

    private void set(int index, long address, long lengthBytes) {
        entries.set(JAVA_LONG, (long) index * ENTRY_BYTES, address);
        entries.set(JAVA_LONG, (long) index * ENTRY_BYTES + Long.BYTES, lengthBytes);
    }
}
