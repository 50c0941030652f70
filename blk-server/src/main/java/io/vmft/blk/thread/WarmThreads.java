package io.vmft.blk.thread;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A bounded pool for tasks that may block, whose thread that went idle last goes on first: what it needs is still in its processor's cache. A pool
 * that waits at a queue wakes all of its threads in turn, each with a cold stack. Idle threads end after half a minute. Daemons, named {@code NAME-0} and so on.
 *
 * <p>INVARIANT: tasks begin in the order they came, whoever gives them. The fork-join pool keeps a queue for each who does, and may serve a busy one for ever;
 * so what it is given are only turns, each for whichever task came first.
 */
public final class WarmThreads extends ForkJoinPool {
    private static final Logger LOG = LoggerFactory.getLogger(WarmThreads.class);
    private static final int KEEP_ALIVE_SECONDS = 30;

    private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();

    /**
     * Starts threads as tasks come.
     *
     * @param threads at most; a task that blocks gets no other thread for it
     */
    public WarmThreads(String name, int threads) {
        super(
                threads,
                named(name, new AtomicInteger()),
                null,
                true,
                threads,
                threads,
                0,
                pool -> true,
                KEEP_ALIVE_SECONDS,
                TimeUnit.SECONDS);
    }

    private static ForkJoinWorkerThreadFactory named(String name, AtomicInteger made) {
        return pool -> {
            ForkJoinWorkerThread thread = defaultForkJoinWorkerThreadFactory.newThread(pool);
            thread.setName(name + "-" + made.getAndIncrement());
            return thread;
        };
    }

    @Override
    public void execute(Runnable task) {
        tasks.add(task);
        try {
            super.execute(this::turn);
        } catch (RejectedExecutionException e) {
            if (tasks.remove(task)) {
                throw e;
            }
            // Another's turn took it, and has left a task without one.
            turn();
        }
    }

    private void turn() {
        Runnable task = tasks.poll();
        if (task == null) {
            return;
        }
        try {
            task.run();
        } catch (RuntimeException | Error e) {
            LOG.error("{}: a task failed", Thread.currentThread().getName(), e);
        }
    }
}
