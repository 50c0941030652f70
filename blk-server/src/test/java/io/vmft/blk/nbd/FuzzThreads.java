package io.vmft.blk.nbd;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.TimeUnit;

/** Storage threads without threads: tasks run at once, or when the test says so, oldest or newest first. */
final class FuzzThreads extends AbstractExecutorService {
    /** When tasks run. */
    enum Order {
        AT_ONCE,
        OLDEST_FIRST,
        NEWEST_FIRST
    }

    private final Order order;
    private final Deque<Runnable> waiting = new ArrayDeque<>();

    FuzzThreads(Order order) {
        this.order = order;
    }

    @Override
    public void execute(Runnable task) {
        if (order == Order.AT_ONCE) {
            task.run();
        } else {
            waiting.add(task);
        }
    }

    /** Runs one task, if there is one. */
    boolean runOne() {
        Runnable task = order == Order.OLDEST_FIRST ? waiting.pollFirst() : waiting.pollLast();
        if (task == null) {
            return false;
        }
        task.run();
        return true;
    }

    @Override
    public void shutdown() {}

    @Override
    public List<Runnable> shutdownNow() {
        return List.of();
    }

    @Override
    public boolean isShutdown() {
        return false;
    }

    @Override
    public boolean isTerminated() {
        return false;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
        return true;
    }
}
