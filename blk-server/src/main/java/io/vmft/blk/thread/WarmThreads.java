package io.vmft.blk.thread;

import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinTask;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A bounded pool for tasks that may block, whose thread that went idle last goes on first: what it needs is still in its processor's cache. A pool
 * that waits at a queue wakes all of its threads in turn, each with a cold stack. Tasks begin about in the order they came, also those given by a
 * task. Idle threads end after half a minute. Daemons, named {@code NAME-0} and so on.
 */
public final class WarmThreads extends ForkJoinPool {
    private static final Logger LOG = LoggerFactory.getLogger(WarmThreads.class);
    private static final boolean FIRST_COME_FIRST_SERVED = true;
    private static final int KEEP_ALIVE_SECONDS = 30;

    /**
     * Starts threads as tasks come.
     *
     * @param threads at most; a task that blocks gets no other thread for it
     */
    public WarmThreads(String name, int threads) {
        super(
                threads,
                pool -> {
                    ForkJoinWorkerThread thread = defaultForkJoinWorkerThreadFactory.newThread(pool);
                    thread.setName(name + "-" + thread.getPoolIndex());
                    return thread;
                },
                null,
                FIRST_COME_FIRST_SERVED,
                threads,
                threads,
                0,
                pool -> true,
                KEEP_ALIVE_SECONDS,
                TimeUnit.SECONDS);
    }

    /** Behind all that wait, also from one of these threads: its own queue would go before them. */
    @Override
    public void execute(Runnable task) {
        externalSubmit(ForkJoinTask.adapt(() -> {
            try {
                task.run();
            } catch (RuntimeException | Error e) {
                LOG.error("{}: a task failed", Thread.currentThread().getName(), e);
            }
        }));
    }
}
