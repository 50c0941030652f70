package io.vmft.blk.nbd;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.proto.nbd.Nbd;
import java.time.Duration;

/**
 * What one server, and one client of it, may use. A connection over its limit waits; only a handshake that takes too long and
 * a connection too many are cut.
 *
 * @param connections open connections of the whole server
 * @param handshake from connecting to the chosen export
 * @param options options one client may send in its handshake
 * @param inFlightRequests requests of one connection that are read but not answered
 * @param inFlightBytes payload of those; the last one begun may go over it
 * @param extents in one block status reply, of all metadata contexts together; 16 bytes each
 * @param ioThreads threads for storage calls that may take long, flushes not counted
 * @param flushThreads threads for flushes and writes that flush
 * @param memoryBytes for requests and replies of all connections together, at least 1 MiB each
 */
public record NbdLimits(
        int connections,
        Duration handshake,
        int options,
        int inFlightRequests,
        int inFlightBytes,
        int extents,
        int ioThreads,
        int flushThreads,
        long memoryBytes) {

    private static final long MIN_CONNECTION_BYTES = 1 << 20;

    public static final NbdLimits DEFAULT =
            new NbdLimits(100, Duration.ofSeconds(10), 64, 128, 4 << 20, 8192, 8, 4, 128 << 20);

    /** Limits with the default for memory. */
    public NbdLimits(
            int connections,
            Duration handshake,
            int options,
            int inFlightRequests,
            int inFlightBytes,
            int extents,
            int ioThreads,
            int flushThreads) {
        this(
                connections,
                handshake,
                options,
                inFlightRequests,
                inFlightBytes,
                extents,
                ioThreads,
                flushThreads,
                DEFAULT.memoryBytes);
    }

    public NbdLimits {
        require(connections > 0, "connections", "is too small");
        require(handshake.isPositive(), "handshake", "is too small");
        require(options > 0, "options", "is too small");
        require(inFlightRequests > 0, "in_flight_requests", "is too small");
        require(inFlightBytes >= 1 << 20, "in_flight_bytes", "is too small");
        require(extents > 0 && extents <= Nbd.MAX_EXTENTS, "extents", "is not between 1 and " + Nbd.MAX_EXTENTS);
        require(ioThreads > 0, "io_threads", "is too small");
        require(flushThreads > 0, "flush_threads", "is too small");
        require(
                memoryBytes >= connections * MIN_CONNECTION_BYTES,
                "memory",
                "is too small: " + connections + " connections need 1M each");
    }

    public NbdLimits withConnections(int max) {
        return withConnections(max, memoryBytes);
    }

    public NbdLimits withHandshake(Duration max) {
        return new NbdLimits(
                connections,
                max,
                options,
                inFlightRequests,
                inFlightBytes,
                extents,
                ioThreads,
                flushThreads,
                memoryBytes);
    }

    public NbdLimits withConnections(int max, long bytes) {
        return new NbdLimits(
                max, handshake, options, inFlightRequests, inFlightBytes, extents, ioThreads, flushThreads, bytes);
    }
}
