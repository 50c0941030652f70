package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.channel.SelectStrategy;
import java.util.concurrent.Semaphore;
import org.junit.jupiter.api.Test;

class PollBeforeSleepTest {
    private static final long MICRO = 1_000;

    private final Semaphore pollers = new Semaphore(1);
    private long now;
    private final PollBeforeSleep strategy = new PollBeforeSleep(pollers, () -> now);

    private int nothingReady() throws Exception {
        return strategy.calculateStrategy(() -> 0, false);
    }

    private void ready() throws Exception {
        assertThat(strategy.calculateStrategy(() -> 2, false)).isEqualTo(2);
    }

    /** A request, and the next one soon after: from then on the loop asks again. */
    private void requestsComeSoon() throws Exception {
        ready();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.SELECT);
        now += 20 * MICRO;
        ready();
    }

    @Test
    void sleepsUntilRequestsHaveComeSoon() throws Exception {
        assertThat(nothingReady()).isEqualTo(SelectStrategy.SELECT);
        now += 1_000 * MICRO;
        requestsComeSoon();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
    }

    @Test
    void whatASleepingLoopWasWokenForCountsToo() throws Exception {
        ready();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.SELECT);
        now += 30 * MICRO;
        assertThat(nothingReady()).as("woken, and done with it").isEqualTo(SelectStrategy.CONTINUE);
    }

    @Test
    void asksNoLongerThanItsLimitAndThenSleepsUntilRequestsComeSoonAgain() throws Exception {
        requestsComeSoon();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
        now += 49 * MICRO;
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
        now += 2 * MICRO;
        assertThat(nothingReady()).isEqualTo(SelectStrategy.SELECT);
        assertThat(pollers.availablePermits()).isEqualTo(1);

        now += 1_000 * MICRO;
        ready();
        assertThat(nothingReady()).as("that was not soon").isEqualTo(SelectStrategy.SELECT);
        now += 10 * MICRO;
        ready();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
    }

    @Test
    void onlySoManyLoopsAskAtATime() throws Exception {
        pollers.acquireUninterruptibly();
        requestsComeSoon();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.SELECT);
        pollers.release();
        now += 10 * MICRO;
        ready();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
        assertThat(pollers.availablePermits()).isZero();
        ready();
        assertThat(pollers.availablePermits()).isEqualTo(1);
    }

    @Test
    void tasksAreRunAtOnce() throws Exception {
        requestsComeSoon();
        assertThat(nothingReady()).isEqualTo(SelectStrategy.CONTINUE);
        assertThat(strategy.calculateStrategy(() -> 0, true)).isZero();
        assertThat(pollers.availablePermits()).isEqualTo(1);
    }
}
