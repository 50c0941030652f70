package io.vmft.blk.nbd;

import io.netty.util.concurrent.DefaultThreadFactory;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The threads on which storage may block. Flushes have their own, so that reads and writes never wait behind them. Their
 * queues are bounded by what connections may have in flight.
 */
final class StorageThreads implements AutoCloseable {
    private final ExecutorService io;
    private final ExecutorService flush;
    private final ExecutorService questions;

    StorageThreads(NbdLimits limits) {
        this(
                pool("nbd-io", limits.ioThreads()),
                pool("nbd-flush", limits.flushThreads()),
                Executors.newVirtualThreadPerTaskExecutor());
    }

    /** On threads of the caller's making, which are closed with this. */
    StorageThreads(ExecutorService io, ExecutorService flush, ExecutorService questions) {
        this.io = io;
        this.flush = flush;
        this.questions = questions;
    }

    private static ExecutorService pool(String name, int threads) {
        ThreadPoolExecutor pool = new ThreadPoolExecutor(
                threads,
                threads,
                30,
                TimeUnit.SECONDS,
                new LinkedBlockingQueue<>(),
                new DefaultThreadFactory(name, true));
        pool.allowCoreThreadTimeOut(true);
        return pool;
    }

    ExecutorService io() {
        return io;
    }

    ExecutorService flush() {
        return flush;
    }

    /**
     * For questions in the handshake, one at a time for each connection. They may wait for requests of other connections, so they must not
     * take a thread from those.
     */
    ExecutorService questions() {
        return questions;
    }

    /** Waits for what runs. */
    @Override
    public void close() {
        questions.close();
        io.close();
        flush.close();
    }
}
