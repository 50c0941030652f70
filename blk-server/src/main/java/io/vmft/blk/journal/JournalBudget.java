package io.vmft.blk.journal;

import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * How many journal bytes are in use, counted by {@link JournalRecord#budgetBytes}, and the wait for room. Thread-safe.
 *
 * <p>Two things are bounded: the bytes of records still needed, and the files they are in, which may be twice as much because one
 * needed record keeps a whole segment.
 *
 * <p>Above the limit a writer waits for the applier to make room. If it is the open epoch that fills the journal, waiting alone
 * would never end: the epoch ends only when the VM's disks are drained, and draining waits for these very writers. So after
 * {@code patience} a writer may go on, up to a quarter above the limit; there it waits for as long as it takes.
 */
public final class JournalBudget {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition room = lock.newCondition();
    private final long limitBytes;
    private final long hardLimitBytes;
    private final Duration patience;
    private long usedBytes;
    private long fileBytes;
    private int waiting;
    private boolean closed;
    private Runnable whenFull = () -> {};

    public JournalBudget(long limitBytes, Duration patience) {
        this.limitBytes = limitBytes;
        this.hardLimitBytes = limitBytes + limitBytes / 4;
        this.patience = patience;
    }

    public long limitBytes() {
        return limitBytes;
    }

    public long usedBytes() {
        lock.lock();
        try {
            return usedBytes;
        } finally {
            lock.unlock();
        }
    }

    /** Run, under no lock but the budget's, whenever a writer begins to wait. */
    public void whenFull(Runnable action) {
        lock.lock();
        try {
            whenFull = action;
        } finally {
            lock.unlock();
        }
    }

    /** Writers waiting for room now. */
    public int waiting() {
        lock.lock();
        try {
            return waiting;
        } finally {
            lock.unlock();
        }
    }

    /** Takes {@code bytes}, waiting for room. A closed budget never waits. */
    public void reserve(long bytes) {
        lock.lock();
        try {
            if (exceeds(bytes, limitBytes)) {
                waiting++;
                whenFull.run();
                awaitRoom(bytes);
                waiting--;
            }
            usedBytes += bytes;
        } finally {
            lock.unlock();
        }
    }

    // A single request larger than the limit goes through when nothing else is there.
    private boolean exceeds(long bytes, long limit) {
        return !closed && usedBytes > 0 && (usedBytes + bytes > limit || fileBytes > 2 * limit);
    }

    // Interruption is not for this wait: the bytes must be journaled or refused, and there is nothing to refuse.
    private void awaitRoom(long bytes) {
        long patienceNanos = patience.toNanos();
        boolean interrupted = false;
        while (exceeds(bytes, patienceNanos > 0 ? limitBytes : hardLimitBytes)) {
            try {
                if (patienceNanos > 0) {
                    patienceNanos = room.awaitNanos(patienceNanos);
                } else {
                    room.await(1, TimeUnit.SECONDS);
                }
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Takes bytes without waiting: what recovery finds. */
    public void occupy(long bytes) {
        lock.lock();
        try {
            usedBytes += bytes;
        } finally {
            lock.unlock();
        }
    }

    /** Counts a segment file that came into use, or with a negative number one that is not needed any more. */
    void addFileBytes(long bytes) {
        lock.lock();
        try {
            fileBytes += bytes;
            room.signalAll();
        } finally {
            lock.unlock();
        }
    }

    public void release(long bytes) {
        if (bytes == 0) {
            return;
        }
        lock.lock();
        try {
            usedBytes -= bytes;
            room.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Lets everybody go on. */
    public void close() {
        lock.lock();
        try {
            closed = true;
            room.signalAll();
        } finally {
            lock.unlock();
        }
    }
}
