package io.vmft.engine.pipeline;

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
import java.util.ArrayDeque;
import java.util.List;

/**
 * The epochs of one protection session, from when they are due to their release. One at a time until it is sealed and saved; up to {@code maxInFlight} checkpoints
 * between that and their commit.
 *
 * <pre>
 *            due          armed       harvested      sealed, saved     complete     committed
 *   (open) ─────▶ ARMING ───────▶ SAVING ───────▶ SEALING ──────▶ SENT ─────────▶ COMPLETE ─────▶ (gone)
 *                    │               │               │
 *                    └───────────────┴───────────────┴──▶ void: the number is used up, the VM goes on in the open epoch
 * </pre>
 *
 * <p>The guest stands still in SAVING only. While an epoch is SEALING it runs on, and the library holds back what QEMU sends to its disks.
 *
 * <p>Keeps these invariants, each checked here: {@code SendEnd(e)} only after seal(e) was acknowledged, the library called the
 * harvest valid and QEMU its state saved; {@code Commit(e)} only after complete(e); {@code Release(e)} only after commit(e) was accepted; epoch
 * numbers rise and are never reused.
 *
 * <p>Not thread-safe: one owner feeds it. An event for an epoch that is void or gone is ignored where it may legally come late;
 * an event that no legal run contains throws {@link IllegalStateException}, and the session must end.
 */
public final class CheckpointPipeline {
    private enum Step {
        NONE,
        ARMING,
        SAVING,
        SEALING
    }

    private final int maxInFlight;
    /** Sent, not yet complete; oldest first. */
    private final ArrayDeque<Long> sent = new ArrayDeque<>();

    /** How far {@link #stepEpoch} is. */
    private Step step = Step.NONE;

    private long stepEpoch;
    private long stepPages;
    private boolean stepSealed;
    private boolean stepSaved;
    private long nextEpoch;
    private long newestComplete;
    private long newestCommitted;
    private long committing;

    /**
     * Starts a session.
     *
     * @param firstEpoch greater than every epoch sealed before
     * @param maxInFlight at least 1
     */
    public CheckpointPipeline(long firstEpoch, int maxInFlight) {
        if (firstEpoch < 1 || maxInFlight < 1) {
            throw new IllegalArgumentException("firstEpoch " + firstEpoch + ", maxInFlight " + maxInFlight);
        }
        this.nextEpoch = firstEpoch;
        this.maxInFlight = maxInFlight;
    }

    /** Whether {@link #due} would begin to end the open epoch now. */
    public boolean canPause() {
        return step == Step.NONE && inFlight() < maxInFlight;
    }

    /** Checkpoints whose end was sent and that are not committed. */
    public int inFlight() {
        return sent.size() + (newestComplete > newestCommitted ? 1 : 0);
    }

    /** The epoch the VM runs in; its checkpoint may still be void. */
    public long openEpoch() {
        return nextEpoch;
    }

    /** The newest committed epoch of this session, 0 before the first. */
    public long committedEpoch() {
        return newestCommitted;
    }

    /** The newest epoch the backup holds whole, 0 before the first. */
    public long completeEpoch() {
        return newestComplete;
    }

    /** The policy wants the open epoch to end. */
    public List<PipelineAction> due() {
        if (!canPause()) {
            return List.of();
        }
        step = Step.ARMING;
        stepEpoch = nextEpoch++;
        stepSealed = false;
        stepSaved = false;
        return List.of(new Arm(stepEpoch));
    }

    /** The library is armed, and has copied what it was to copy before the pause. */
    public List<PipelineAction> armed(long epoch) {
        require(step == Step.ARMING && epoch == stepEpoch, "armed", epoch);
        step = Step.SAVING;
        return List.of(new Mark(epoch), new Save(epoch));
    }

    /**
     * The pause is over: the guest runs.
     *
     * @param valid the library's verdict: it copied every dirty page
     */
    public List<PipelineAction> harvested(long epoch, boolean valid, long pages) {
        require(step == Step.SAVING && epoch == stepEpoch, "harvested", epoch);
        if (!valid) {
            step = Step.NONE;
            return List.of(new Abort(epoch));
        }
        step = Step.SEALING;
        stepPages = pages;
        return List.of(new Seal(epoch));
    }

    /** The block server sealed. */
    public List<PipelineAction> sealed(long epoch) {
        if (!awaitsSeal(epoch)) {
            return List.of();
        }
        stepSealed = true;
        return stepSaved ? List.of(new ConfirmSealed(epoch), send()) : List.of(new ConfirmSealed(epoch));
    }

    /** QEMU says that its state is saved. It may say so before the pause's work is heard of. */
    public List<PipelineAction> saved(long epoch) {
        if (epoch != stepEpoch || step == Step.NONE) {
            return List.of();
        }
        stepSaved = true;
        return stepSealed ? List.of(send()) : List.of();
    }

    private SendEnd send() {
        step = Step.NONE;
        sent.add(stepEpoch);
        return new SendEnd(stepEpoch, stepPages);
    }

    private boolean awaitsSeal(long epoch) {
        return epoch == stepEpoch && step == Step.SEALING && !stepSealed;
    }

    /** The seal failed, was refused or its answer did not come in time. */
    public List<PipelineAction> sealFailed(long epoch) {
        if (!awaitsSeal(epoch)) {
            return List.of();
        }
        step = Step.NONE;
        return List.of(new Discard(epoch), new Abort(epoch));
    }

    /** QEMU could not save its state: there was no pause, it ended without a harvest, or with one that does not count. */
    public List<PipelineAction> saveFailed(long epoch) {
        if (epoch != stepEpoch || step == Step.NONE) {
            return List.of();
        }
        step = Step.NONE;
        return List.of(new Abort(epoch));
    }

    /** The backup holds the whole checkpoint. */
    public List<PipelineAction> complete(long epoch) {
        Long oldest = sent.poll();
        require(oldest != null && oldest == epoch, "complete", epoch);
        newestComplete = epoch;
        return commitNext();
    }

    /** The block server committed. */
    public List<PipelineAction> committed(long epoch) {
        require(epoch == committing, "committed", epoch);
        committing = 0;
        newestCommitted = epoch;
        List<PipelineAction> next = commitNext();
        return next.isEmpty()
                ? List.of(new Release(epoch), new TellCommitted(epoch))
                : List.of(new Release(epoch), new TellCommitted(epoch), next.getFirst());
    }

    private List<PipelineAction> commitNext() {
        if (committing != 0 || newestComplete <= newestCommitted) {
            return List.of();
        }
        committing = newestComplete;
        return List.of(new Commit(committing));
    }

    private void require(boolean legal, String event, long epoch) {
        if (!legal) {
            throw new IllegalStateException(event + " of epoch " + epoch + " while epoch " + stepEpoch + " is at step "
                    + step + ", sent " + sent + ", complete " + newestComplete + ", committed "
                    + newestCommitted + ", committing " + committing);
        }
    }
}
