package io.vmft.blk.nbd;

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
 * @param ioThreads threads for storage calls that may take long, flushes not counted
 * @param flushThreads threads for flushes and writes that flush
 */
public record NbdLimits(
        int connections,
        Duration handshake,
        int options,
        int inFlightRequests,
        int inFlightBytes,
        int ioThreads,
        int flushThreads) {

    public static final NbdLimits DEFAULT = new NbdLimits(100, Duration.ofSeconds(10), 64, 128, 2 << 20, 8, 4);

    public NbdLimits {
        require(connections > 0, "connections");
        require(handshake.isPositive(), "handshake");
        require(options > 0, "options");
        require(inFlightRequests > 0, "inFlightRequests");
        require(inFlightBytes >= 1 << 20, "inFlightBytes");
        require(ioThreads > 0, "ioThreads");
        require(flushThreads > 0, "flushThreads");
    }

    public NbdLimits withConnections(int max) {
        return new NbdLimits(max, handshake, options, inFlightRequests, inFlightBytes, ioThreads, flushThreads);
    }

    public NbdLimits withHandshake(Duration max) {
        return new NbdLimits(connections, max, options, inFlightRequests, inFlightBytes, ioThreads, flushThreads);
    }

    private static void require(boolean holds, String name) {
        if (!holds) {
            throw new IllegalArgumentException("NBD limit " + name + " is too small");
        }
    }
}
