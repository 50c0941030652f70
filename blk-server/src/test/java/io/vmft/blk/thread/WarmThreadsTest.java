package io.vmft.blk.thread;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class WarmThreadsTest {
    private static final int THREADS = 4;

    @Test
    void theThreadThatWentIdleLastGoesOnFirst() throws Exception {
        try (WarmThreads threads = new WarmThreads("test", THREADS)) {
            CountDownLatch all = new CountDownLatch(THREADS);
            for (int i = 0; i < THREADS; i++) {
                threads.execute(() -> {
                    all.countDown();
                    awaitQuietly(all);
                });
            }
            await().until(() -> all.getCount() == 0 && threads.getActiveThreadCount() == 0);
            Set<Thread> used = ConcurrentHashMap.newKeySet();
            for (int i = 0; i < 50; i++) {
                CountDownLatch done = new CountDownLatch(1);
                threads.execute(() -> {
                    used.add(Thread.currentThread());
                    done.countDown();
                });
                done.await();
                await().pollDelay(1, TimeUnit.MILLISECONDS).until(() -> threads.getActiveThreadCount() == 0);
            }
            assertThat(used).hasSize(1).allMatch(thread -> thread.getName().matches("test-[0-3]"));
        }
    }

    @Test
    void whatATaskGivesComesAfterWhatWaits() throws Exception {
        try (WarmThreads threads = new WarmThreads("test", 1)) {
            List<String> order = new CopyOnWriteArrayList<>();
            CountDownLatch given = new CountDownLatch(1);
            CountDownLatch done = new CountDownLatch(1);
            threads.execute(() -> {
                awaitQuietly(given);
                threads.execute(() -> {
                    order.add("given by a task");
                    done.countDown();
                });
            });
            threads.execute(() -> order.add("waited"));
            given.countDown();
            done.await();
            assertThat(order).containsExactly("waited", "given by a task");
        }
    }

    /** A fork-join pool serves one queue as long as there is something in it. */
    @Test
    void whoAlwaysHasMoreKeepsNobodyWaiting() throws Exception {
        AtomicBoolean over = new AtomicBoolean();
        try (WarmThreads threads = new WarmThreads("test", 1)) {
            Thread busy = Thread.ofPlatform().start(() -> {
                Semaphore waiting = new Semaphore(10);
                while (!over.get()) {
                    waiting.acquireUninterruptibly();
                    threads.execute(waiting::release);
                }
            });
            try {
                for (int i = 0; i < 100; i++) {
                    CountDownLatch done = new CountDownLatch(1);
                    Thread.ofPlatform().start(() -> threads.execute(done::countDown));
                    assertThat(done.await(10, TimeUnit.SECONDS)).isTrue();
                }
            } finally {
                over.set(true);
                busy.join();
            }
        }
    }

    /** A fork-join pool would otherwise start another thread for each that waits for a condition. */
    @Test
    void tasksThatBlockGetNoMoreThreads() {
        ReentrantLock lock = new ReentrantLock();
        Condition changed = lock.newCondition();
        AtomicBoolean over = new AtomicBoolean();
        try (WarmThreads threads = new WarmThreads("test", THREADS)) {
            for (int i = 0; i < 5 * THREADS; i++) {
                threads.execute(() -> {
                    lock.lock();
                    try {
                        while (!over.get()) {
                            changed.awaitUninterruptibly();
                        }
                    } finally {
                        lock.unlock();
                    }
                });
            }
            try {
                await().during(200, TimeUnit.MILLISECONDS)
                        .until(() -> threads.getPoolSize() == THREADS && threads.hasQueuedSubmissions());
            } finally {
                lock.lock();
                try {
                    over.set(true);
                    changed.signalAll();
                } finally {
                    lock.unlock();
                }
            }
            await().until(() -> !threads.hasQueuedSubmissions());
        }
    }

    @Test
    void aTaskThatFailsCostsNothingElse() throws Exception {
        try (WarmThreads threads = new WarmThreads("test", 1)) {
            threads.execute(() -> {
                throw new IllegalStateException("meant to fail");
            });
            CountDownLatch next = new CountDownLatch(1);
            threads.execute(next::countDown);
            next.await();
        }
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            latch.await();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
