package io.vmft.blk.journal;

import io.vmft.blk.export.NoSpaceException;
import java.io.IOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * How many journal bytes are in use, counted by {@link JournalRecord#budgetBytes}, and the wait for room. Thread-safe.
 *
 * <p>Two things are bounded: the bytes of records still needed, and the files they are in, which may be twice as much because one
 * needed record keeps a whole segment. Each lane has an {@link Account}. Above the limit a writer waits for the applier to make room,
 * unless its own lane uses less than its share: half the limit, divided by the lanes that use anything. So a lane whose backlog is
 * stuck stops itself and no other, and all together stay below one and a half limits.
 *
 * <p>If it is the open epoch that fills the journal, waiting alone would never end: the epoch ends only when the VM's disks are
 * drained, and draining waits for these very writers. So after {@code patience} a writer may go on, up to a quarter above the limit;
 * there it waits for as long as it takes. A writer whose lane's image takes nothing ({@link Account#stuck}) is refused instead.
 */
public final class JournalBudget {
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition room = lock.newCondition();
    private final long limitBytes;
    private final long hardLimitBytes;
    private final Duration patience;
    private final Map<Integer, Account> accounts = new HashMap<>();
    private long usedBytes;
    private long fileBytes;
    /** Accounts with anything in use. */
    private int users;

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

    /** Bytes of the files that segments in use are in. */
    public long fileBytes() {
        lock.lock();
        try {
            return fileBytes;
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

    /** That of a lane, the same each time. */
    public Account account(int lane) {
        lock.lock();
        try {
            return accounts.computeIfAbsent(lane, _ -> new Account());
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

    /** Says how many bytes of files each lane keeps from being given back. */
    void heldFiles(Map<Integer, Long> bytesByLane) {
        lock.lock();
        try {
            accounts.forEach((lane, account) -> account.fileBytes = bytesByLane.getOrDefault(lane, 0L));
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

    /** What one lane uses. */
    public final class Account {
        private long used;
        private long fileBytes;
        private @Nullable IOException stuck;

        private Account() {}

        /** Bytes in use. */
        public long usedBytes() {
            lock.lock();
            try {
                return used;
            } finally {
                lock.unlock();
            }
        }

        /**
         * Takes {@code bytes}, waiting for room. A closed budget never waits.
         *
         * @throws IOException if there is none and the image takes nothing: {@link NoSpaceException} if for want of space
         */
        public void reserve(long bytes) throws IOException {
            lock.lock();
            try {
                if (exceeds(bytes, limitBytes)) {
                    waiting++;
                    try {
                        whenFull.run();
                        awaitRoom(bytes);
                    } finally {
                        waiting--;
                    }
                }
                add(bytes);
            } finally {
                lock.unlock();
            }
        }

        /** Takes {@code bytes} if there is room now. */
        public boolean tryReserve(long bytes) {
            lock.lock();
            try {
                if (exceeds(bytes, limitBytes)) {
                    return false;
                }
                add(bytes);
                return true;
            } finally {
                lock.unlock();
            }
        }

        /** Whether so many of the lane's bytes are its share or more. */
        public boolean isShare(long bytes) {
            lock.lock();
            try {
                return users > 0 && bytes >= share(limitBytes);
            } finally {
                lock.unlock();
            }
        }

        private long share(long limit) {
            return limit / 2 / users;
        }

        // A single request larger than any limit goes through when nothing else of its lane is there.
        private boolean exceeds(long bytes, long limit) {
            if (closed || used == 0) {
                return false;
            }
            long share = share(limit);
            return (usedBytes + bytes > limit && used + bytes > share)
                    || (JournalBudget.this.fileBytes > 2 * limit && fileBytes > 2 * share);
        }

        // Interruption is not for this wait: the bytes must be journaled or refused, and there is nothing to refuse.
        private void awaitRoom(long bytes) throws IOException {
            long patienceNanos = patience.toNanos();
            boolean interrupted = false;
            try {
                while (exceeds(bytes, patienceNanos > 0 ? limitBytes : hardLimitBytes)) {
                    if (stuck != null) {
                        throw refusal(stuck);
                    }
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
            } finally {
                if (interrupted) {
                    Thread.currentThread().interrupt();
                }
            }
        }

        private static IOException refusal(IOException why) {
            String message = "the journal is full, and the image takes nothing: " + why.getMessage();
            IOException refusal =
                    why instanceof NoSpaceException ? new NoSpaceException(message) : new IOException(message);
            refusal.initCause(why);
            return refusal;
        }

        /** Takes bytes without waiting: what recovery finds. */
        public void occupy(long bytes) {
            lock.lock();
            try {
                add(bytes);
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
                add(-bytes);
                room.signalAll();
            } finally {
                lock.unlock();
            }
        }

        /** Says why nothing of this lane can be put into its image now; null: it can. */
        public void stuck(@Nullable IOException why) {
            lock.lock();
            try {
                stuck = why;
                room.signalAll();
            } finally {
                lock.unlock();
            }
        }

        private void add(long bytes) {
            users += (used == 0 ? 1 : 0);
            used += bytes;
            usedBytes += bytes;
            users -= (used == 0 ? 1 : 0);
        }
    }
}
