package io.vmft.blk.applier;

import static java.util.Objects.requireNonNull;

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
import java.util.concurrent.BlockingDeque;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.LinkedBlockingDeque;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Folds committed layers into the images. It lets a protected volume's commits gather, for {@code interval}, or until they fill its
 * share of the journal or rest: what is written twice meanwhile goes to the image once, and a burst has the disk for itself. It drains
 * without waiting. A few threads do the work, each volume's one at a time, so that an image which does not answer holds up no other's.
 *
 * <p>A fold that fails for want of space or by an I/O error is done again later; the journal keeps its data, and writers wait when
 * it is full. A record that is not what was appended stops its volume.
 */
public final class Applier implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(Applier.class);

    /** A drain with no more than this left is finished with the volume's writers waiting; doubles with every round. */
    private static final long FINISH_BYTES = 4 << 20;

    private static final int MAX_WORKERS = 4;
    /** A volume that committed nothing for so long is at rest; or for a tenth of the interval, if that is longer. */
    private static final Duration REST = Duration.ofSeconds(1);

    private static final Duration MIN_PAUSE = Duration.ofMillis(1);
    /** After how long what failed is tried again. */
    private static final Duration RETRY = Duration.ofSeconds(1);

    private final Journal journal;
    private final Collection<Volume> volumes;
    private final Duration interval;
    private final Duration rest;
    /** How often volumes are looked at. */
    private final Duration pause;
    /** What waits to be folded. The applier's thread alone. */
    private final Map<Volume, Gathered> gathered = new HashMap<>();
    /** As many as may be at work; whoever folds takes one. */
    private final BlockingDeque<Fold> folds = new LinkedBlockingDeque<>();

    private final ExecutorService workers;
    private final Map<Volume, Integer> drainRounds = new ConcurrentHashMap<>();
    private final Map<Volume, Trouble> troubles = new ConcurrentHashMap<>();
    /** Volumes at work, and what was asked for them meanwhile. */
    private final Map<Volume, Wish> busy = new HashMap<>();

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Thread thread;
    /** How long {@link #close} may put committed data into the images; 0: what the journal holds stays there. */
    private volatile long settleNanos;

    /** What somebody asked for. */
    private final Map<Volume, Wish> wanted = new HashMap<>();

    private volatile boolean stopping;

    /** What may be asked for a volume; each holds those before it. */
    private enum Wish {
        NOTHING,
        /** To do now what is due. */
        LOOK,
        /** To fold what is committed, due or not. */
        FOLD;

        private Wish or(Wish other) {
            return compareTo(other) > 0 ? this : other;
        }
    }

    /**
     * What a volume had committed at the last look.
     *
     * @param sinceNanos when the first of it was seen
     * @param changedNanos when the last of it was
     */
    private record Gathered(long bytes, long sinceNanos, long changedNanos) {}

    /** Why a volume's image took nothing, and when. */
    private record Trouble(String message, long sinceNanos) {}

    private Applier(Journal journal, Collection<Volume> volumes, Duration interval) {
        this.journal = journal;
        this.volumes = List.copyOf(volumes);
        this.interval = interval;
        this.rest = Duration.ofNanos(Math.min(interval.toNanos(), Math.max(interval.toNanos() / 10, REST.toNanos())));
        this.pause = Duration.ofNanos(Math.max(rest.toNanos() / 2, MIN_PAUSE.toNanos()));
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

    /** Says that volumes may have begun to drain, or direct ones to hold records that nobody needs. What gathers goes on gathering. */
    public void look() {
        ask(volumes, Wish.LOOK);
    }

    /** Says that writers wait for room: what is committed is folded, whatever has gathered. */
    public void makeRoom() {
        ask(volumes, Wish.FOLD);
    }

    private void ask(Collection<Volume> which, Wish wish) {
        lock.lock();
        try {
            which.forEach(volume -> wanted.merge(volume, wish, Wish::or));
            changed.signal();
        } finally {
            lock.unlock();
        }
    }

    /** To be said after each commit: its volume is folded if what gathered fills its share of the journal, all if writers wait for room. */
    public void committed(Volume volume) {
        if (journal.budget().waiting() > 0) {
            makeRoom();
        } else if (volume.budget().isShare(volume.overlay().committedBytes())) {
            ask(List.of(volume), Wish.FOLD);
        }
    }

    private void run() {
        for (Map<Volume, Wish> asked = awaitWork(); asked != null; asked = awaitWork()) {
            for (Volume volume : volumes) {
                if (volume.mode() == WriteMode.JOURNALED) {
                    // When it drains again, it begins anew.
                    drainRounds.remove(volume);
                }
                Wish wish = asked.getOrDefault(volume, Wish.NOTHING);
                // Looked at even if a fold was asked for: what it had gathered is not what it gathers from now on.
                boolean isFoldDue = isFoldDue(volume) || wish == Wish.FOLD;
                if ((isFoldDue || volume.mode() != WriteMode.JOURNALED) && !failedJustNow(volume)) {
                    gathered.remove(volume);
                    setToWork(volume, isFoldDue, wish);
                }
            }
        }
        workers.close();
        if (settleNanos > 0) {
            settle();
        }
    }

    /** Whether a protected volume's commits have gathered for long enough, or rest, or could not be folded before. */
    private boolean isFoldDue(Volume volume) {
        Gathered before = gathered.remove(volume);
        if (volume.mode() != WriteMode.JOURNALED) {
            return false;
        }
        if (troubles.containsKey(volume)) {
            return true;
        }
        long bytes = volume.overlay().committedBytes();
        if (bytes == 0) {
            return false;
        }
        long now = System.nanoTime();
        if (before == null) {
            before = new Gathered(bytes, now, now);
        } else if (bytes != before.bytes()) {
            before = new Gathered(bytes, before.sinceNanos(), now);
        }
        gathered.put(volume, before);
        return now - before.sinceNanos() >= interval.toNanos()
                || now - before.changedNanos() >= rest.toNanos()
                || isJournalLarge();
    }

    /** Whether segments are three quarters of what they may be: then one volume's few records must not keep those of another's many. */
    private boolean isJournalLarge() {
        return journal.budget().fileBytes() >= journal.budget().limitBytes() / 2 * 3;
    }

    /** Whether its image took nothing so short a time ago that trying again would do harm alone. */
    private boolean failedJustNow(Volume volume) {
        Trouble trouble = troubles.get(volume);
        return trouble != null && System.nanoTime() - trouble.sinceNanos() < RETRY.toNanos();
    }

    /** Lets a thread attend to the volume; if one does already, once more after that if something was asked for: that one may have missed it. */
    private void setToWork(Volume volume, boolean isFoldDue, Wish wish) {
        lock.lock();
        try {
            if (busy.containsKey(volume)) {
                busy.merge(volume, wish, Wish::or);
                return;
            }
            busy.put(volume, Wish.NOTHING);
        } finally {
            lock.unlock();
        }
        workers.execute(() -> work(volume, isFoldDue));
    }

    private void work(Volume volume, boolean isFoldDue) {
        if (stopping) {
            return;
        }
        Wish wish = attend(volume, isFoldDue) ? Wish.LOOK : Wish.NOTHING;
        lock.lock();
        try {
            wish = wish.or(requireNonNull(busy.remove(volume)));
        } finally {
            lock.unlock();
        }
        if (wish != Wish.NOTHING) {
            ask(List.of(volume), wish);
        }
    }

    /** What was asked for, perhaps nothing; null: the end. */
    private @Nullable Map<Volume, Wish> awaitWork() {
        lock.lock();
        try {
            long left = pauseNanos();
            while (wanted.isEmpty() && !stopping && left > 0) {
                left = changed.awaitNanos(left);
            }
            Map<Volume, Wish> asked = Map.copyOf(wanted);
            wanted.clear();
            return stopping ? null : asked;
        } catch (InterruptedException e) {
            return null;
        } finally {
            lock.unlock();
        }
    }

    private long pauseNanos() {
        return troubles.isEmpty() ? pause.toNanos() : Math.min(pause.toNanos(), RETRY.toNanos());
    }

    /**
     * Does what the volume's mode asks for; {@code isFoldDue}: if it is journaled, too. For it may have been draining when it was
     * looked at, and what it committed since is to gather.
     *
     * @return whether there is more to do at once
     */
    private boolean attend(Volume volume, boolean isFoldDue) {
        if (volume.failure() != null) {
            return false;
        }
        try {
            boolean more = advance(volume, isFoldDue);
            // A volume that turned journaled meanwhile may have had nothing done to it.
            if (!volume.overlay().isApplying()) {
                volume.budget().stuck(null);
                if (troubles.remove(volume) != null) {
                    LOG.info("{}: what was committed can be written to the image again", volume.name());
                }
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
            Trouble before = troubles.put(volume, new Trouble(e.toString(), System.nanoTime()));
            if (before == null || !before.message().equals(e.toString())) {
                LOG.error(
                        "{}: what was committed could not be written to the image, trying again: {}",
                        volume.name(),
                        e.toString());
                // Not to be tried at once, but for the next pause to be the shorter one.
                ask(List.of(volume), Wish.LOOK);
            }
            return false;
        }
    }

    private boolean advance(Volume volume, boolean isFoldDue) throws IOException {
        return switch (volume.mode()) {
            case JOURNALED -> {
                if (isFoldDue) {
                    foldCommitted(volume);
                }
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
        foldDraining(volume);
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
            foldDraining(volume);
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

    /** Folds what is committed now, not what is committed meanwhile. */
    private void foldCommitted(Volume volume) throws IOException {
        for (int left = volume.overlay().committedLayers(); left > 0 && foldNext(volume); left--) {}
    }

    /** Folds whatever is committed, until the volume is protected again. */
    private void foldDraining(Volume volume) throws IOException {
        while (volume.mode() == WriteMode.DRAINING && foldNext(volume)) {}
    }

    /** Folds the oldest committed layer; false: there is none. */
    private boolean foldNext(Volume volume) throws IOException {
        Layer layer = volume.overlay().takeForApply();
        if (layer == null) {
            return false;
        }
        volume.pins().beforeFold(layer);
        fold(layer, volume);
        volume.applied(layer.boundary());
        volume.budget().release(layer.budgetBytes());
        return true;
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
            folds.addFirst(fold); // whose memory has grown already
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
                more = (attend(volume, true) || volume.overlay().committedBytes() > 0) && !troubles.containsKey(volume);
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
