package io.vmft.blk.nbd;

import io.netty.channel.SelectStrategy;
import io.netty.channel.SelectStrategyFactory;
import io.netty.util.IntSupplier;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;

/**
 * How an event loop waits: as long as the next request comes soon after the last, it asks for it again and again instead of sleeping, because
 * to be woken costs more than the request. That is what bounds a client with one request on its way at a time, as a guest that syncs. A loop that
 * waited in vain sleeps, and asks again only after a request that came soon by itself; and no more loops ask at a time than half of the
 * processors. Confined to its loop.
 */
final class PollBeforeSleep implements SelectStrategy {
    private static final long POLL_NANOS = TimeUnit.MICROSECONDS.toNanos(50);
    /** From going idle to being through with what came next. */
    private static final long SOON_NANOS = 2 * POLL_NANOS;

    private final Semaphore pollers;
    private final LongSupplier clock;
    private long idleSince;
    private boolean idle;
    private boolean polling;
    private boolean worthIt;

    /**
     * For one loop.
     *
     * @param pollers what all loops of a group share: one permit for each that may ask at a time
     * @param clock nanoseconds
     */
    PollBeforeSleep(Semaphore pollers, LongSupplier clock) {
        this.pollers = pollers;
        this.clock = clock;
    }

    /** For the loops of one group. */
    static SelectStrategyFactory factory() {
        Semaphore pollers = new Semaphore(Runtime.getRuntime().availableProcessors() / 2);
        return () -> new PollBeforeSleep(pollers, System::nanoTime);
    }

    // Nothing depends on what yielding does: it lets a thread that has work go first.
    @SuppressWarnings("ThreadPriorityCheck")
    @Override
    public int calculateStrategy(IntSupplier selectNow, boolean hasTasks) throws Exception {
        int ready = selectNow.get();
        if (ready > 0 || hasTasks) {
            busy();
            return ready;
        }
        long now = clock.getAsLong();
        if (!polling) {
            if (idle) {
                // It slept, and what it was woken for is done.
                worthIt = now - idleSince < SOON_NANOS;
            }
            idle = true;
            idleSince = now;
            polling = worthIt && pollers.tryAcquire();
        }
        if (!polling) {
            return SELECT;
        }
        if (now - idleSince < POLL_NANOS) {
            Thread.yield();
            return CONTINUE;
        }
        worthIt = false;
        stopPolling();
        return SELECT;
    }

    private void busy() {
        if (polling) {
            stopPolling();
        } else if (idle) {
            worthIt = clock.getAsLong() - idleSince < SOON_NANOS;
        }
        idle = false;
    }

    private void stopPolling() {
        polling = false;
        pollers.release();
    }
}
