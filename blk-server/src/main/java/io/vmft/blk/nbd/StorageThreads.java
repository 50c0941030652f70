package io.vmft.blk.nbd;

import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.ForkJoinWorkerThread;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The threads on which storage may block. Flushes have their own, so that reads and writes never wait behind them. Their
 * queues are bounded by what connections may have in flight.
 */
final class StorageThreads implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(StorageThreads.class);

    private final ExecutorService io;
    private final ExecutorService flush;
    private final ExecutorService questions;

    StorageThreads(NbdLimits limits) {
        this(
                new Pool("nbd-io", limits.ioThreads()),
                new Pool("nbd-flush", limits.flushThreads()),
                Executors.newVirtualThreadPerTaskExecutor());
    }

    /** On threads of the caller's making, which are closed with this. */
    StorageThreads(ExecutorService io, ExecutorService flush, ExecutorService questions) {
        this.io = io;
        this.flush = flush;
        this.questions = questions;
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

    /**
     * Threads of which whichever went idle last goes on first: what it needs is still in its processor's cache, where others would be woken in
     * turn. Tasks begin about in the order they came, also those given by a task.
     */
    private static final class Pool extends ForkJoinPool {
        private static final boolean FIRST_COME_FIRST_SERVED = true;

        Pool(String name, int threads) {
            super(
                    threads,
                    pool -> {
                        ForkJoinWorkerThread thread = defaultForkJoinWorkerThreadFactory.newThread(pool);
                        thread.setName(name + "-" + thread.getPoolIndex());
                        return thread;
                    },
                    null,
                    FIRST_COME_FIRST_SERVED);
        }

        /** Also from one of these threads to the back of all: its own queue would keep the others waiting. */
        @Override
        public void execute(Runnable task) {
            externalSubmit(ForkJoinTask.adapt(() -> {
                try {
                    task.run();
                } catch (RuntimeException | Error e) {
                    log.error("{}: a task failed", Thread.currentThread().getName(), e);
                }
            }));
        }
    }
}
