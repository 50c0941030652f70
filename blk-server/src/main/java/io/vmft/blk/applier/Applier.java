package io.vmft.blk.applier;

import io.vmft.blk.journal.CorruptRecordException;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.WriteMode;
import java.io.IOException;
import java.time.Duration;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Folds committed layers into the images. It lets a protected volume's commits gather, for {@code interval}, or until they fill its share
 * of the journal or rest for a tenth of the interval (what is written twice meanwhile goes to the image once, and a burst has the disk for itself), and drains without waiting. A few threads do the work, each volume's one at a time, so
 * that an image which does not answer holds up no other's.
 *
 * <p>A fold that fails for want of space or by an I/O error is done again later; the journal keeps its data, and writers wait when
 * it is full. A record that is not what was appended stops its volume.
 */
public final class Applier implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Applier.class);

    /** A drain with no more than this left is finished with the volume's writers waiting; doubles with every round. */
    private static final long FINISH_BYTES = 4 << 20;

    private static final int MAX_WORKERS = 4;
    private static final Duration MIN_PAUSE = Duration.ofMillis(1);
    /** After how long what failed is tried again. */
    private static final Duration RETRY = Duration.ofSeconds(1);

    private final Journal journal;
    private final Collection<Volume> volumes;
    private final Duration interval;
    /** How often volumes are looked at. */
    private final Duration pause;
    /** What waits to be folded. The applier's thread alone. */
    private final Map<Volume, Gathered> gathered = new HashMap<>();
    /** As many as may be at work; whoever folds takes one. */
    private final BlockingQueue<Fold> folds = new LinkedBlockingQueue<>();

    private final ExecutorService workers;
    private final Map<Volume, Integer> drainRounds = new ConcurrentHashMap<>();
    private final Map<Volume, String> troubles = new ConcurrentHashMap<>();
    /** Volumes at work, and whether they are to be looked at once more. */
    private final Map<Volume, Boolean> busy = new HashMap<>();

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Thread thread;
    /** How long {@link #close} may put committed data into the images; 0: what the journal holds stays there. */
    private volatile long settleNanos;

    private boolean woken;
    /** Whether this round of work was asked for: then whoever is at work now may have missed what it is for. */
    private boolean roundForWake;

    private boolean stopping;

    /**
     * What a volume had committed at the last look.
     *
     * @param sinceNanos when the first of it was seen
     */
    private record Gathered(long bytes, long sinceNanos) {}

    private Applier(Journal journal, Collection<Volume> volumes, Duration interval) {
        this.journal = journal;
        this.volumes = List.copyOf(volumes);
        this.interval = interval;
        this.pause = Duration.ofNanos(Math.max(interval.toNanos() / 10, MIN_PAUSE.toNanos()));
        int threads = Math.clamp(volumes.size(), 1, MAX_WORKERS);
        for (int i = 0; i < threads; i++) {
            folds.add(new Fold(journal));
        }
        this.workers = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().name("applier-", 0).daemon().factory());
        this.thread = Thread.ofPlatform().name("applier").daemon().unstarted(this::run);
    }

    public static Applier start(Journal journal, Collection<Volume> volumes, Duration interval) {
        Applier applier = new Applier(journal, volumes, interval);
        applier.thread.start();
        return applier;
    }

    /** Says that there may be something to do at once: a volume drains, or much was committed. */
    public void wake() {
        lock.lock();
        try {
            woken = true;
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** Says that how long it may do nothing has changed. */
    private void signal() {
        lock.lock();
        try {
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** As {@link #wake} if the volume uses its share of the journal, or if writers wait for room. */
    public void committed(Volume volume) {
        if (volume.budget().usesShare() || journal.budget().waiting() > 0) {
            wake();
        }
    }

    private void run() {
        while (awaitWork()) {
            for (Volume volume : volumes) {
                if (isDue(volume) || roundForWake) {
                    setToWork(volume);
                }
            }
        }
        workers.close();
        if (settleNanos > 0) {
            settle();
        }
    }

    /** Whether the volume's commits have gathered for long enough, or rest, or it is not commits that there is to do. */
    private boolean isDue(Volume volume) {
        if (volume.mode() != WriteMode.JOURNALED || troubles.containsKey(volume)) {
            return true;
        }
        Gathered before = gathered.remove(volume);
        long bytes = volume.overlay().committedBytes();
        if (bytes == 0) {
            return false;
        }
        long sinceNanos = before == null ? System.nanoTime() : before.sinceNanos();
        if (before != null && (bytes == before.bytes() || System.nanoTime() - sinceNanos >= interval.toNanos())) {
            return true;
        }
        gathered.put(volume, new Gathered(bytes, sinceNanos));
        return false;
    }

    private void setToWork(Volume volume) {
        lock.lock();
        try {
            if (busy.containsKey(volume)) {
                busy.merge(volume, roundForWake, Boolean::logicalOr);
                return;
            }
            busy.put(volume, false);
        } finally {
            lock.unlock();
        }
        workers.execute(() -> work(volume));
    }

    private void work(Volume volume) {
        boolean again = attend(volume);
        lock.lock();
        try {
            again |= Boolean.TRUE.equals(busy.remove(volume));
        } finally {
            lock.unlock();
        }
        if (again) {
            wake();
        }
    }

    private boolean awaitWork() {
        lock.lock();
        try {
            long began = System.nanoTime();
            long left = pauseNanos();
            while (!woken && !stopping && left > 0) {
                changed.awaitNanos(left);
                left = pauseNanos() - (System.nanoTime() - began);
            }
            roundForWake = woken;
            woken = false;
            return !stopping;
        } catch (InterruptedException e) {
            return false;
        } finally {
            lock.unlock();
        }
    }

    private long pauseNanos() {
        return troubles.isEmpty() ? pause.toNanos() : Math.min(pause.toNanos(), RETRY.toNanos());
    }

    /** Whether there is more to do at once. */
    private boolean attend(Volume volume) {
        if (volume.failure() != null) {
            return false;
        }
        try {
            boolean more = advance(volume);
            volume.budget().stuck(null);
            if (troubles.remove(volume) != null) {
                LOG.info("{}: what was committed can be written to the image again", volume.name());
            }
            return more;
        } catch (CorruptRecordException e) {
            LOG.error("{}: committed data is damaged, the volume stops: {}", volume.name(), e.getMessage());
            volume.fail("committed data in the journal is damaged: " + e.getMessage());
            volume.revokeAll();
            return false;
        } catch (RuntimeException e) {
            LOG.error("{}: the applier cannot go on with it, the volume stops", volume.name(), e);
            volume.fail("its journal cannot be applied: " + e);
            volume.revokeAll();
            return false;
        } catch (IOException e) {
            volume.budget().stuck(e);
            if (!e.toString().equals(troubles.put(volume, e.toString()))) {
                LOG.error(
                        "{}: what was committed could not be written to the image, trying again: {}",
                        volume.name(),
                        e.toString());
                signal();
            }
            return false;
        }
    }

    private boolean advance(Volume volume) throws IOException {
        return switch (volume.mode()) {
            case JOURNALED -> {
                drainRounds.remove(volume);
                foldCommitted(volume);
                yield false;
            }
            case DRAINING -> drain(volume);
            case DIRECT -> {
                if (!volume.marks().dropped().isEmpty()) {
                    volume.applied(volume.marks().committed());
                }
                yield false;
            }
        };
    }

    private boolean drain(Volume volume) throws IOException {
        int round = drainRounds.merge(volume, 1, Integer::sum);
        volume.commitOpen();
        foldCommitted(volume);
        if (volume.overlay().uncommittedBytes() > FINISH_BYTES << Math.min(round, 20)) {
            return true;
        }
        long reached;
        volume.closeGate();
        try {
            if (volume.mode() != WriteMode.DRAINING) {
                return false;
            }
            volume.commitOpen();
            foldCommitted(volume);
            if (!volume.finishDraining()) {
                return true;
            }
            reached = journal.lastSequence();
        } finally {
            volume.openGate();
        }
        drainRounds.remove(volume);
        // Nothing of this volume at or below is needed; its next record will be above.
        volume.applied(reached);
        LOG.info("{}: the journal holds nothing more of it, writes go to the image", volume.name());
        return false;
    }

    private void foldCommitted(Volume volume) throws IOException {
        for (Layer layer = volume.overlay().takeForApply();
                layer != null;
                layer = volume.overlay().takeForApply()) {
            volume.pins().beforeFold(layer);
            fold(layer, volume);
            volume.applied(layer.boundary());
            volume.budget().release(layer.budgetBytes());
            if (volume.mode() == WriteMode.JOURNALED) {
                return;
            }
        }
    }

    private void fold(Layer layer, Volume volume) throws IOException {
        Fold fold;
        try {
            fold = folds.take();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException(volume.name() + ": interrupted", e);
        }
        try {
            fold.fold(layer, volume.image());
        } finally {
            folds.add(fold);
        }
    }

    /** From now on {@link #close} first puts what is committed into the images, for as long as {@code limit}. */
    public void settleOnClose(Duration limit) {
        settleNanos = limit.toNanos();
    }

    private void settle() {
        long deadline = System.nanoTime() + settleNanos;
        for (Volume volume : volumes) {
            boolean more = !volume.overlay().isEmpty();
            while (more && volume.failure() == null && System.nanoTime() < deadline) {
                more = (attend(volume) || volume.overlay().committedBytes() > 0) && !troubles.containsKey(volume);
            }
            if (!volume.overlay().isEmpty()) {
                LOG.warn(
                        "{}: the journal still holds writes that are not in {}; start the server again before that file is"
                                + " used for anything else",
                        volume.name(),
                        volume.image().path());
            }
        }
    }

    /** Stops after what it is doing now. */
    @Override
    public void close() {
        lock.lock();
        try {
            stopping = true;
            changed.signal();
        } finally {
            lock.unlock();
        }
        boolean interrupted = false;
        while (thread.isAlive()) {
            try {
                thread.join();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
