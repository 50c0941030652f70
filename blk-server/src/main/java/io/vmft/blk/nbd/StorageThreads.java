package io.vmft.blk.nbd;

import io.vmft.blk.thread.WarmThreads;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * The threads on which storage may block. Flushes have their own, so that reads and writes never wait behind them. Their
 * queues are bounded by what connections may have in flight.
 */
final class StorageThreads implements AutoCloseable {
    private final ExecutorService io;
    private final ExecutorService flush;
    private final ExecutorService waiting;

    StorageThreads(NbdLimits limits) {
        this(
                new WarmThreads("nbd-io", limits.ioThreads()),
                new WarmThreads("nbd-flush", limits.flushThreads()),
                Executors.newVirtualThreadPerTaskExecutor());
    }

    /** On threads of the caller's making, which are closed with this. */
    StorageThreads(ExecutorService io, ExecutorService flush, ExecutorService waiting) {
        this.io = io;
        this.flush = flush;
        this.waiting = waiting;
    }

    ExecutorService io() {
        return io;
    }

    ExecutorService flush() {
        return flush;
    }

    /**
     * For what may wait for requests of other connections, and so must not take a thread from those: questions in the handshake, and changes
     * of a protected volume, for which the journal may have no room.
     */
    ExecutorService waiting() {
        return waiting;
    }

    /** Waits for what runs. */
    @Override
    public void close() {
        waiting.close();
        io.close();
        flush.close();
    }
}
