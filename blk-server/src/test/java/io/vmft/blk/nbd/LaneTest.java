package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class LaneTest {
    @Test
    void tasksRunInTheirOrderAndNeverTwoAtOnce() throws InterruptedException {
        int count = 20_000;
        List<Integer> ran = new ArrayList<>();
        AtomicInteger running = new AtomicInteger();
        AtomicInteger overlaps = new AtomicInteger();
        try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
            Lane lane = new Lane(threads);
            CountDownLatch done = new CountDownLatch(count);
            for (int i = 0; i < count; i++) {
                int number = i;
                lane.execute(() -> {
                    if (running.incrementAndGet() > 1) {
                        overlaps.incrementAndGet();
                    }
                    ran.add(number);
                    running.decrementAndGet();
                    done.countDown();
                });
            }
            assertThat(done.await(30, TimeUnit.SECONDS)).isTrue();
        }
        assertThat(overlaps).hasValue(0);
        assertThat(ran).hasSize(count).isSorted();
    }

    @Test
    void aBusyLaneLetsAnotherHaveTheOnlyThread() {
        List<Runnable> thread = new ArrayList<>();
        Lane busy = new Lane(thread::add);
        Lane other = new Lane(thread::add);
        List<String> ran = new ArrayList<>();
        for (int i = 0; i < 100; i++) {
            busy.execute(() -> ran.add("busy"));
        }
        other.execute(() -> ran.add("other"));
        while (!thread.isEmpty()) {
            thread.removeFirst().run();
        }
        assertThat(ran).hasSize(101);
        assertThat(ran.indexOf("other")).isLessThan(50);
    }

    @Test
    void theLastTaskKnowsThatItIsTheLast() {
        List<Runnable> thread = new ArrayList<>();
        Lane lane = new Lane(thread::add);
        List<Boolean> last = new ArrayList<>();
        lane.execute(() -> last.add(lane.isLastTask()));
        lane.execute(() -> last.add(lane.isLastTask()));
        thread.removeFirst().run();
        assertThat(last).containsExactly(false, true);
    }
}
