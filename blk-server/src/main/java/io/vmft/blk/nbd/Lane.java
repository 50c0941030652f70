package io.vmft.blk.nbd;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Runs one connection's long writes one after the other beside its event loop, so that the socket is read while storage takes what
 * was read before. More threads would only wait for each other at the file's lock. It borrows a thread while it has work and
 * gives it back now and then for others. Thread-safe.
 */
final class Lane implements Runnable, Executor {
    /** So many tasks in a row at most while others may wait for a thread. */
    private static final int TURN = 32;

    private final Executor threads;
    private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
    /** Tasks given and not done; whoever raises it from 0 starts a turn. */
    private final AtomicInteger undone = new AtomicInteger();

    Lane(Executor threads) {
        this.threads = threads;
    }

    @Override
    public void execute(Runnable task) {
        tasks.add(task);
        if (undone.getAndIncrement() == 0) {
            threads.execute(this);
        }
    }

    /** For a running task: whether no other is waiting behind it. */
    boolean isLastTask() {
        return undone.get() == 1;
    }

    /** One turn on a borrowed thread. */
    @Override
    public void run() {
        for (int i = 0; i < TURN; i++) {
            // Never null: undone counts what is in the queue.
            tasks.remove().run();
            if (undone.decrementAndGet() == 0) {
                return;
            }
        }
        threads.execute(this);
    }
}
