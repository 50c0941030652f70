package io.vmft.engine.pipeline;

import io.vmft.engine.pipeline.PipelineAction.Abort;
import io.vmft.engine.pipeline.PipelineAction.Commit;
import io.vmft.engine.pipeline.PipelineAction.ConfirmSealed;
import io.vmft.engine.pipeline.PipelineAction.Mark;
import io.vmft.engine.pipeline.PipelineAction.Release;
import io.vmft.engine.pipeline.PipelineAction.Seal;
import io.vmft.engine.pipeline.PipelineAction.SendEnd;
import io.vmft.engine.pipeline.PipelineAction.TellCommitted;
import io.vmft.engine.pipeline.PipelineAction.Trigger;
import io.vmft.engine.pipeline.PipelineAction.VoidPause;
import java.util.ArrayDeque;
import java.util.List;

/**
 * The epochs of one protection session, from trigger to release. One pause at a time; up to {@code maxInFlight} checkpoints
 * between their pause and their commit.
 *
 * <pre>
 *            trigger      paused       sealed       harvested          complete     committed
 *   (open) ─────────▶ TRIGGERED ─▶ SEALING ─▶ SEALED ─────────▶ SENT ─────────▶ COMPLETE ─────▶ (gone)
 *                         │            │          │
 *                         └────────────┴──────────┴──▶ void: the number is used up, the VM goes on in the open epoch
 * </pre>
 *
 * <p>Keeps these invariants, each checked here: {@code SendEnd(e)} only after seal(e) was acknowledged and the library called the
 * harvest valid; {@code Commit(e)} only after complete(e); {@code Release(e)} only after commit(e) was accepted; epoch
 * numbers rise and are never reused.
 *
 * <p>Not thread-safe: one owner feeds it. An event for an epoch that is void or gone is ignored where it may legally come late;
 * an event that no legal run contains throws {@link IllegalStateException}, and the session must end.
 */
public final class CheckpointPipeline {
    private enum Pause {
        NONE,
        TRIGGERED,
        SEALING,
        SEALED,
        VOID
    }

    private final int maxInFlight;
    /** Sent, not yet complete; oldest first. */
    private final ArrayDeque<Long> sent = new ArrayDeque<>();

    private Pause pause = Pause.NONE;
    private long pauseEpoch;
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

    /** Whether {@link #due} would start a pause now. */
    public boolean canPause() {
        return pause == Pause.NONE && inFlight() < maxInFlight;
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
        pause = Pause.TRIGGERED;
        pauseEpoch = nextEpoch++;
        return List.of(new Trigger(pauseEpoch));
    }

    /** The library reports the VM stopped and drained. */
    public List<PipelineAction> paused(long epoch) {
        requirePauseOf(epoch);
        if (pause == Pause.VOID) {
            return List.of();
        }
        require(pause == Pause.TRIGGERED, "paused", epoch);
        pause = Pause.SEALING;
        return List.of(new Mark(epoch), new Seal(epoch));
    }

    /** The block server sealed. */
    public List<PipelineAction> sealed(long epoch) {
        if (epoch != pauseEpoch || pause != Pause.SEALING) {
            return List.of();
        }
        pause = Pause.SEALED;
        return List.of(new ConfirmSealed(epoch));
    }

    /** The seal failed, was refused or its answer did not come in time. */
    public List<PipelineAction> sealFailed(long epoch) {
        if (epoch != pauseEpoch || pause != Pause.SEALING) {
            return List.of();
        }
        pause = Pause.VOID;
        return List.of(new VoidPause(epoch));
    }

    /**
     * The pause is over.
     *
     * @param valid the library's verdict: it saw the seal confirmed in time and copied every dirty page
     */
    public List<PipelineAction> harvested(long epoch, boolean valid, long pages) {
        requirePauseOf(epoch);
        boolean whole = valid && pause == Pause.SEALED;
        require(pause != Pause.TRIGGERED || !valid, "harvested", epoch);
        pause = Pause.NONE;
        if (!whole) {
            return List.of(new Abort(epoch));
        }
        sent.add(epoch);
        return List.of(new SendEnd(epoch, pages));
    }

    /** QEMU could not save its state: there was no pause, or it ended without a harvest. */
    public List<PipelineAction> saveFailed(long epoch) {
        if (epoch != pauseEpoch || pause == Pause.NONE) {
            return List.of();
        }
        pause = Pause.NONE;
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

    private void requirePauseOf(long epoch) {
        require(pause != Pause.NONE && epoch == pauseEpoch, "pause event", epoch);
    }

    private void require(boolean legal, String event, long epoch) {
        if (!legal) {
            throw new IllegalStateException(event + " of epoch " + epoch + " while the pause of epoch " + pauseEpoch
                    + " is " + pause + ", sent " + sent + ", complete " + newestComplete + ", committed "
                    + newestCommitted + ", committing " + committing);
        }
    }
}
