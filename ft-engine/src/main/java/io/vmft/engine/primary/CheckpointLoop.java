package io.vmft.engine.primary;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineException;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.epoch.EpochStats;
import io.vmft.engine.epoch.EpochTimer;
import io.vmft.engine.pipeline.CheckpointPipeline;
import io.vmft.engine.pipeline.PipelineAction;
import io.vmft.engine.pipeline.PipelineAction.Abort;
import io.vmft.engine.pipeline.PipelineAction.Arm;
import io.vmft.engine.pipeline.PipelineAction.Commit;
import io.vmft.engine.pipeline.PipelineAction.ConfirmSealed;
import io.vmft.engine.pipeline.PipelineAction.Discard;
import io.vmft.engine.pipeline.PipelineAction.Mark;
import io.vmft.engine.pipeline.PipelineAction.Release;
import io.vmft.engine.pipeline.PipelineAction.Save;
import io.vmft.engine.pipeline.PipelineAction.Seal;
import io.vmft.engine.pipeline.PipelineAction.SendEnd;
import io.vmft.engine.pipeline.PipelineAction.TellCommitted;
import io.vmft.engine.replication.Link;
import io.vmft.engine.vm.GuestVm;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.checkpoint.Digests;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The epochs of one {@link ProtectionSession}: ends them in time and carries out what the {@link CheckpointPipeline} decides. On the
 * engine's loop only. Once stopped it gives slots back and does nothing more.
 */
final class CheckpointLoop {
    /** Hears what becomes of the epochs; the session, which may stop the loop from any of these. */
    interface Owner {
        /** From the first commit on the backup can take over. */
        void firstCommitted();

        /** Another host runs the VM now. */
        void fenced(String message);

        /** The storage host lost what the guest wrote. */
        void dataLost(String message);

        /**
         * QEMU does not answer, and nothing is known that keeps it.
         *
         * @param silence since when; told about once a second from the limit on
         */
        void qemuSilent(Duration silence);

        /** No checkpoint can be made any more. */
        void failed(String reason);
    }

    private static final Logger log = LoggerFactory.getLogger(CheckpointLoop.class);
    private static final long STORAGE_RETRY_MILLIS = 200;
    /** So often QEMU may fail to save its state, one time after the other: output is held meanwhile. */
    private static final int MAX_FAILURES = 20;
    /** A pre-copy begins early by what the last one took, but by no more than this part of an interval. */
    private static final int PRE_COPY_MAX_SHARE = 4;

    /** The least that memory is read at where all of it is, for an epoch that is to be verified. */
    private static final long DIGEST_BYTES_PER_SECOND = 256L << 20;

    private static final int MAX_OUTPUT_BYTES = 256 << 10;

    private final EngineContext context;
    private final GuestVm vm;
    private final Link link;
    private final long generation;
    private final EpochStats stats;
    private final EpochTimer times;
    private final Seals seals;
    private final Owner owner;
    private final CheckpointPipeline pipeline;
    private final PageSender sender;
    private final Silence silence = new Silence();
    private final Runnable storageConnected;

    /** Of the epoch whose pages come now, if it is one to verify. */
    private int @Nullable [] digests;

    /** An operator's pause; null while the guest is to run. */
    private @Nullable CompletableFuture<Long> standing;

    /** The checkpoint made of the stopped guest, 0 before. */
    private long standingEpoch;

    private boolean started;
    private boolean ended;
    private boolean due;
    private long dueNanos;
    private final PreCopies preCopies = new PreCopies();
    /** Whether the epoch that is saved now, or was last, has a pre-copy. */
    private boolean preCopying;
    /** How long the last pre-copy took. */
    private long preCopyNanos;

    /** Checkpoints that QEMU could not make. */
    private int failuresInARow;

    /** The last that there is no checkpoint of; something of it may still be on its way here. */
    private long givenUpEpoch;

    private boolean saving;
    private boolean committedOnce;
    private long outputSentThrough;
    /** Commits that the block server has not answered: its disks may be what QEMU waits for, too. */
    private int commitsAsked;

    /** Why the block server does not commit, said once; empty: it does. */
    private String commitTrouble = "";

    /**
     * Makes a loop that is not started.
     *
     * @param generation under which the backup is protected
     * @param firstEpoch greater than every epoch sealed before
     */
    CheckpointLoop(
            EngineContext context,
            GuestVm vm,
            Link link,
            long generation,
            long firstEpoch,
            EpochStats stats,
            Owner owner) {
        this.context = context;
        this.vm = vm;
        this.link = link;
        this.generation = generation;
        this.stats = stats;
        this.times = new EpochTimer(stats);
        this.seals = new Seals(
                epoch -> context.control().seal(context.vm(), generation, epoch, GuestVm.PAUSE_TIMEOUT),
                epoch -> vm.tracker().sealed(epoch),
                context::handOver,
                this::sealed);
        this.owner = owner;
        this.pipeline =
                new CheckpointPipeline(firstEpoch, context.config().protection().maxInFlight());
        this.sender = new PageSender(
                context.vm(),
                link,
                context.config().protection().copying(),
                context.config().protection().epoch(),
                vm.tracker()::release);
        this.storageConnected = () -> context.handOver(this::pauseIfDue);
    }

    /** The backup's memory is close enough: checkpoints begin. */
    void start() {
        started = true;
        vm.network().hold(pipeline.openEpoch());
        vm.watchHarvests(seals::harvested);
        vm.network().watchInput(new InputForwarder(link));
        context.control().addConnectedListener(storageConnected);
        tick();
    }

    /** No more checkpoints; disks that wait for a seal go on at once. */
    void stop(String reason) {
        ended = true;
        context.control().removeConnectedListener(storageConnected);
        vm.network().watchInput(null);
        vm.watchHarvests(null);
        vm.tracker().voidCheckpoint(pipeline.openEpoch() - 1);
        sender.close();
        if (standing != null) {
            standing.completeExceptionally(new EngineException(context.vm() + ": the backup was lost: " + reason));
        }
    }

    /** The backup holds the whole checkpoint. */
    void complete(long epoch) {
        times.completed(epoch, System.nanoTime());
        run(pipeline.complete(epoch));
    }

    boolean hasCommitted() {
        return committedOnce;
    }

    /**
     * Looks, about once a second, whether QEMU answers.
     *
     * @param storageAnswers whether the block server has answered the question of the last look: QEMU may be waiting for it
     */
    void look(boolean storageAnswers) {
        boolean storageWorks =
                storageAnswers && context.control().isConnected() && commitsAsked == 0 && commitTrouble.isEmpty();
        Duration silent = silence.look(System.nanoTime(), !storageWorks);
        Duration limit = context.config().protection().qemuTimeout();
        if (!ended && silent.compareTo(isToVerify(pipeline.openEpoch() - 1) ? limit.plus(digesting()) : limit) >= 0) {
            owner.qemuSilent(silent);
        }
    }

    private Duration digesting() {
        return Duration.ofSeconds(context.config().memoryBytes() / DIGEST_BYTES_PER_SECOND);
    }

    /** What the epochs are, for showing them. */
    CheckpointPipeline epochs() {
        return pipeline;
    }

    /** The policy: an epoch ends one interval after the VM went on; this comes sooner by the time that a pre-copy takes. */
    private void tick() {
        due = true;
        dueNanos = System.nanoTime();
        pauseIfDue();
    }

    /**
     * Without the block server no epoch can be sealed: a pause would be for nothing, and in it QEMU waits for its disks, which are away too. So the guest
     * goes on, in this epoch, as long as it wants nothing of them.
     */
    private void pauseIfDue() {
        if (!context.control().isConnected()) {
            return;
        }
        if (standing != null) {
            standStill();
        } else if (started && !ended && due && !saving && pipeline.canPause()) {
            due = false;
            run(pipeline.due());
        }
    }

    /** Stops the guest and makes one more checkpoint; completes when that is committed. */
    CompletableFuture<Long> pause() {
        CompletableFuture<Long> result = new CompletableFuture<>();
        standing = result;
        pauseIfDue();
        return result;
    }

    /** Lets the guest go on; completes when it does. */
    CompletableFuture<Void> resume() {
        silence.asked(System.nanoTime());
        return vm.cont()
                .handleAsync(
                        (goesOn, failure) -> {
                            silence.answered();
                            if (failure != null) {
                                throw new CompletionException(failure);
                            }
                            standing = null;
                            standingEpoch = 0;
                            tick();
                            return null;
                        },
                        context.loop());
    }

    /** Of an earlier session with the same VM something may still come. */
    private boolean isOurs(long epoch) {
        return started && epoch == pipeline.openEpoch() - 1 && epoch != givenUpEpoch;
    }

    /** Once, as soon as the pipeline has room: stop the guest, and the checkpoint after that finds it where it stays. */
    private void standStill() {
        if (ended || saving || standingEpoch != 0 || !pipeline.canPause()) {
            return;
        }
        standingEpoch = pipeline.openEpoch();
        silence.asked(System.nanoTime());
        vm.stop()
                .whenCompleteAsync(
                        (stopped, failure) -> {
                            silence.answered();
                            if (failure != null) {
                                owner.failed("QEMU does not stop: " + failure.getMessage());
                            } else if (!ended) {
                                run(pipeline.due());
                            }
                        },
                        context.loop());
    }

    void chunk(Chunk chunk) {
        // A pause lasts as long as it takes to copy all, which a slow link can make very long.
        silence.heard(System.nanoTime());
        if (ended || !isOurs(chunk.epoch())) {
            vm.tracker().release(chunk.slot());
            return;
        }
        sender.pages(chunk);
    }

    /** What all of memory held in the pause of an epoch that is to be verified; before {@link #harvested}. */
    void digests(int[] found) {
        digests = found;
    }

    /** What was sent so far, and how. */
    PageSender.Totals sent() {
        return sender.totals();
    }

    void harvested(Harvest harvest) {
        log.trace("{}: {}", context.vm(), harvest);
        if (ended || !isOurs(harvest.epoch())) {
            vm.tracker().voidCheckpoint(harvest.epoch());
            return;
        }
        preCopies.harvested(preCopying, harvest.preCopiedPages(), harvest.dirtyPages() - harvest.preCopiedPages());
        times.harvested(harvest);
        if (!harvest.valid()) {
            voided(harvest.epoch());
        }
        run(pipeline.harvested(harvest.epoch(), harvest.valid(), harvest.dirtyPages()));
    }

    void resumed(long stoppedNanos, long resumedNanos) {
        times.resumed(stoppedNanos, resumedNanos);
    }

    private void voided(long epoch) {
        times.voided(epoch);
        stats.voided();
        standingEpoch = 0;
    }

    private void arm(long epoch) {
        saving = true;
        silence.asked(System.nanoTime());
        seals.arm(epoch);
        digests = null;
        long began = System.nanoTime();
        preCopying = preCopies.isWorthIt() && !sender.isCompressing();
        vm.arm(epoch, isToVerify(epoch), preCopying)
                .whenCompleteAsync(
                        (armed, failure) -> {
                            if (failure != null) {
                                notSaved(epoch, failure);
                            } else if (ended || !context.control().isConnected()) {
                                giveUp(epoch);
                            } else {
                                long now = System.nanoTime();
                                preCopyNanos = now - began;
                                times.triggered(epoch, dueNanos, began, now);
                                run(pipeline.armed(epoch));
                            }
                        },
                        context.loop());
    }

    private void save(long epoch) {
        sender.pauseBegins();
        vm.saveState()
                .whenCompleteAsync(
                        (done, failure) -> {
                            if (failure != null) {
                                notSaved(epoch, failure);
                            } else {
                                failuresInARow = 0;
                                if (!ended) {
                                    run(pipeline.saved(epoch));
                                }
                                awaitDue();
                            }
                        },
                        context.loop());
    }

    private void notSaved(long epoch, Throwable failure) {
        if (ended || vm.isEnding()) {
            log.debug("{}: epoch {}: not saved, it is over: {}", context.vm(), epoch, failure.getMessage());
            giveUp(epoch);
            return;
        }
        log.warn("{}: epoch {}: QEMU could not save its state: {}", context.vm(), epoch, failure.getMessage());
        giveUp(epoch);
        if (!ended && ++failuresInARow == MAX_FAILURES) {
            owner.failed("QEMU cannot save its state: " + failure.getMessage());
        }
    }

    /** There is no checkpoint of this epoch: what it had belongs to the next. */
    private void giveUp(long epoch) {
        if (!ended) {
            standingEpoch = 0;
            givenUpEpoch = epoch;
            times.voided(epoch);
            vm.tracker().voidCheckpoint(epoch);
            run(pipeline.saveFailed(epoch));
        }
        awaitDue();
    }

    private void awaitDue() {
        saving = false;
        silence.answered();
        context.loop().schedule(this::tick, untilDue(), TimeUnit.NANOSECONDS);
    }

    /** So that the pause, which comes after the pre-copy, is one interval after the last. */
    private long untilDue() {
        long interval = context.config().protection().epoch().toNanos();
        return interval - Math.min(preCopyNanos, interval / PRE_COPY_MAX_SHARE);
    }

    private boolean isToVerify(long epoch) {
        int every = context.config().protection().copying().verifyEpochs();
        return every > 0 && epoch % every == 0;
    }

    private void run(List<PipelineAction> actions) {
        for (PipelineAction action : actions) {
            if (ended) {
                return;
            }
            run(action);
        }
    }

    private void run(PipelineAction action) {
        switch (action) {
            case Arm(long epoch) -> arm(epoch);
            case Mark(long epoch) -> vm.network().endEpoch(epoch);
            case Save(long epoch) -> save(epoch);
            case Seal _, ConfirmSealed _ -> {
                // Done by Seals, which does not wait for this thread.
            }
            case Discard(long epoch) -> {
                voided(epoch);
                vm.tracker().voidCheckpoint(epoch);
            }
            case Abort(long epoch) -> sender.abort(epoch);
            case SendEnd(long epoch, long pages) -> sendEnd(epoch, pages);
            case Commit(long epoch) -> commit(epoch);
            case Release(long epoch) -> {
                vm.network().release(epoch);
                times.released(epoch, System.nanoTime());
            }
            case TellCommitted(long epoch) -> {
                link.send(FrameType.COMMITTED, epoch);
                committed();
            }
        }
    }

    private void sealed(long epoch, @Nullable EpochReply reply, @Nullable Throwable failure) {
        if (ended) {
            return;
        }
        if (Seals.isSealed(reply)) {
            times.sealed(epoch, System.nanoTime());
            run(pipeline.sealed(epoch));
        } else if (!isOver(reply)) {
            log.warn(
                    "{}: epoch {}: not sealed, trying again with the next: {}",
                    context.vm(),
                    epoch,
                    why(reply, failure));
            run(pipeline.sealFailed(epoch));
            pauseIfDue();
        }
    }

    private void sendEnd(long epoch, long pages) {
        sendOutput(epoch);
        ByteBuf state;
        try {
            state = vm.savedState(link::buffer);
        } catch (IOException e) {
            owner.failed("cannot read the device state QEMU saved: " + e.getMessage());
            return;
        }
        Digests all = digests == null ? null : new Digests(crcOf(state), digests);
        digests = null;
        sender.send(new Frame(FrameType.DEVICE_STATE, epoch, state));
        if (all != null) {
            sender.send(new Frame(FrameType.DIGESTS, epoch, all.payload()));
        }
        sender.end(
                new Frame(FrameType.END, epoch, Unpooled.buffer(8).writeLong(pages)),
                () -> times.sent(epoch, System.nanoTime()));
        pauseIfDue();
    }

    private static int crcOf(ByteBuf bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes.nioBuffer());
        return (int) crc.getValue();
    }

    /** A copy of what is held: if this host dies before it may send it, the backup does. */
    private void sendOutput(long epoch) {
        ByteBuf frames = link.buffer(MAX_OUTPUT_BYTES);
        vm.network().copyHeld(outputSentThrough, epoch, MAX_OUTPUT_BYTES - MAX_OUTPUT_BYTES / 8, frames);
        outputSentThrough = epoch;
        if (frames.isReadable()) {
            sender.send(new Frame(FrameType.OUTPUT, epoch, frames));
        } else {
            frames.release();
        }
    }

    private void commit(long epoch) {
        if (ended) {
            return;
        }
        commitsAsked++;
        context.control()
                .commit(context.vm(), generation, epoch)
                .whenCompleteAsync(
                        (reply, failure) -> {
                            commitsAsked--;
                            if (ended) {
                                return;
                            }
                            if (reply != null && !reply.hasRefusal()) {
                                times.committed(epoch, System.nanoTime());
                                commitTrouble = "";
                                long before = pipeline.committedEpoch();
                                run(pipeline.committed(epoch));
                                if (standing != null && standingEpoch == epoch) {
                                    standing.complete(epoch);
                                }
                                stats.committed(before == 0 ? 1 : epoch - before);
                                pauseIfDue();
                            } else if (!isOver(reply)) {
                                commitFailed(epoch, reply, failure);
                            }
                        },
                        context.loop());
    }

    private void commitFailed(long epoch, @Nullable EpochReply reply, @Nullable Throwable failure) {
        if (reply != null && reply.getRefusal().getCode() == Refusal.Code.STORAGE_FAILED) {
            // Output stays held; an operator makes room, or the VM stands still at its limits.
            String why = why(reply, failure);
            if (!why.equals(commitTrouble)) {
                commitTrouble = why;
                log.warn("{}: epoch {}: not committed, trying again: {}", context.vm(), epoch, why);
            }
            context.loop().schedule(() -> commit(epoch), STORAGE_RETRY_MILLIS, TimeUnit.MILLISECONDS);
        } else {
            owner.failed("block server did not commit epoch " + epoch + ": " + why(reply, failure));
        }
    }

    /** Whether the guest must not go on here; then the owner knows. */
    private boolean isOver(@Nullable EpochReply reply) {
        if (reply == null) {
            return false;
        }
        Refusal refusal = reply.getRefusal();
        if (refusal.getCode() == Refusal.Code.FENCED) {
            owner.fenced(refusal.getMessage());
        } else if (refusal.getCode() == Refusal.Code.DATA_LOST) {
            owner.dataLost(refusal.getMessage());
        } else {
            return false;
        }
        return true;
    }

    private static String why(@Nullable EpochReply reply, @Nullable Throwable failure) {
        if (reply != null) {
            return reply.getRefusal().getMessage();
        }
        return failure == null ? "no answer" : BlkControl.describe(failure);
    }

    private void committed() {
        if (!committedOnce) {
            committedOnce = true;
            owner.firstCommitted();
        }
    }
}
