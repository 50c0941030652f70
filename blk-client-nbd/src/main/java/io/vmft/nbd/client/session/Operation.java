package io.vmft.nbd.client.session;

import java.util.ArrayList;
import java.util.List;

/**
 * A request as {@link ReplayMachine} sees it: what it touches, and what waits for it. Made by whoever asks, from then on the
 * machine's.
 */
class Operation {
    /** Whether two operations may be under way together. */
    enum Kind {
        /** Leaves the data as it is. */
        LOOK,
        /** Changes the data: nothing that overlaps is under way meanwhile. */
        CHANGE,
        /** Speaks of what was answered before, whatever is under way. */
        FLUSH
    }

    static final long NEVER = Long.MAX_VALUE;

    final Kind kind;
    final long offset;
    final long lengthBytes;

    /** Earlier operations that must be answered before this one is sent. */
    int blockers;
    /** Later operations that wait for this one. */
    final List<Operation> dependents = new ArrayList<>(0);

    long submittedNanos;
    /** When a server first said that it is not the primary's; {@link #NEVER}: none did. */
    long refusedNanos = NEVER;
    /** The link it was last sent on; 0: none. */
    long sentOn;

    /**
     * An operation on bytes of the export.
     *
     * @param lengthBytes from {@code offset} on; a flush has none
     */
    Operation(Kind kind, long offset, long lengthBytes) {
        this.kind = kind;
        this.offset = offset;
        this.lengthBytes = lengthBytes;
    }

    /** Whether the outcome depends on which of the two comes first. */
    boolean conflictsWith(Operation other) {
        return kind != Kind.FLUSH
                && other.kind != Kind.FLUSH
                && (kind == Kind.CHANGE || other.kind == Kind.CHANGE)
                && offset < other.offset + other.lengthBytes
                && other.offset < offset + lengthBytes;
    }
}
