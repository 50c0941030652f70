package io.vmft.blk.nbd;

import io.netty.channel.WriteBufferWaterMark;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Divides the memory for requests and replies among the connections that are there: a few may have much under way each, many
 * little. Thread-safe.
 *
 * <pre>
 *   a connection's share   in flight        1/2
 *                          unsent replies   1/4
 *                          being received, and the last piece begun over a limit: a piece each
 * </pre>
 */
final class MemoryShare {
    private static final int MAX_UNSENT_BYTES = 1 << 20;
    private static final int MIN_PIECE_BYTES = 256 << 10;
    private static final int MAX_PIECE_BYTES = 1 << 20;

    private final NbdLimits limits;
    private final AtomicInteger connections = new AtomicInteger();

    MemoryShare(NbdLimits limits) {
        this.limits = limits;
    }

    void connected() {
        connections.incrementAndGet();
    }

    void disconnected() {
        connections.decrementAndGet();
    }

    /** Payload of one connection's unanswered requests above which it waits, now. */
    long inFlightBytes() {
        return Math.min(limits.inFlightBytes(), limits.memoryBytes() / Math.max(1, connections.get()) / 2);
    }

    /**
     * The longest piece in which a read is copied, or a write received and stored, now: the longer, the fewer times server and client wait
     * for each other. More than 1 MiB would not stay in a processor's cache between the two copies.
     */
    int pieceBytes() {
        long share = limits.memoryBytes() / Math.max(1, connections.get()) / 4;
        // A size that the allocator does not round up.
        return Integer.highestOneBit(Math.clamp(share, MIN_PIECE_BYTES, MAX_PIECE_BYTES));
    }

    /** Replies a client may leave in the server's memory before its requests wait, whoever else is there. */
    WriteBufferWaterMark unsentBytes() {
        int high = (int) Math.min(MAX_UNSENT_BYTES, limits.memoryBytes() / limits.connections() / 4);
        return new WriteBufferWaterMark(high / 2, high);
    }
}
