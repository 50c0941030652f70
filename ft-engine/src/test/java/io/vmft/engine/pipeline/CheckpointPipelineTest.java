package io.vmft.engine.pipeline;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

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
import org.junit.jupiter.api.Test;

class CheckpointPipelineTest {
    private final CheckpointPipeline pipeline = new CheckpointPipeline(5, 2);

    @Test
    void anEpochGoesFromTriggerToRelease() {
        assertThat(pipeline.due()).containsExactly(new Arm(5));
        assertThat(pipeline.openEpoch()).isEqualTo(6);
        assertThat(pipeline.armed(5)).containsExactly(new Mark(5), new Save(5));
        assertThat(pipeline.harvested(5, true, 17)).containsExactly(new Seal(5));
        assertThat(pipeline.saved(5)).isEmpty();
        assertThat(pipeline.sealed(5)).containsExactly(new ConfirmSealed(5), new SendEnd(5, 17));
        assertThat(pipeline.complete(5)).containsExactly(new Commit(5));
        assertThat(pipeline.committed(5)).containsExactly(new Release(5), new TellCommitted(5));
        assertThat(pipeline.committedEpoch()).isEqualTo(5);
        assertThat(pipeline.inFlight()).isZero();
    }

    @Test
    void noEpochEndsBeforeTheOneBeforeItIsSealedAndSaved() {
        pipeline.due();
        assertThat(pipeline.due()).isEmpty();
        pipeline.armed(5);
        assertThat(pipeline.due()).isEmpty();
        pipeline.harvested(5, true, 1);
        assertThat(pipeline.due()).isEmpty();
        assertThat(pipeline.sealed(5)).containsExactly(new ConfirmSealed(5));
        assertThat(pipeline.due()).isEmpty();
        assertThat(pipeline.saved(5)).containsExactly(new SendEnd(5, 1));
        assertThat(pipeline.due()).containsExactly(new Arm(6));
    }

    @Test
    void qemuMaySayThatItsStateIsSavedFirst() {
        pipeline.due();
        pipeline.armed(5);
        assertThat(pipeline.saved(5)).isEmpty();
        assertThat(pipeline.harvested(5, true, 2)).containsExactly(new Seal(5));
        assertThat(pipeline.sealed(5)).containsExactly(new ConfirmSealed(5), new SendEnd(5, 2));
        assertThat(pipeline.saved(5)).as("of an epoch that was sent").isEmpty();
    }

    @Test
    void aStateThatWasNotSavedIsNotSentThoughItsEpochIsSealed() {
        pipeline.due();
        pipeline.armed(5);
        pipeline.harvested(5, true, 2);
        pipeline.sealed(5);
        assertThat(pipeline.sealFailed(5)).as("an answer after the answer").isEmpty();
        assertThat(pipeline.saveFailed(5)).containsExactly(new Abort(5));
        assertThat(pipeline.inFlight()).isZero();
        assertThat(pipeline.due()).containsExactly(new Arm(6));
    }

    @Test
    void theBoundOfEpochsInFlightDelaysThePause() {
        send(5);
        send(6);
        assertThat(pipeline.canPause()).isFalse();
        assertThat(pipeline.due()).isEmpty();
        pipeline.complete(5);
        assertThat(pipeline.canPause()).isFalse();
        pipeline.committed(5);
        assertThat(pipeline.due()).containsExactly(new Arm(7));
    }

    @Test
    void aCommitUnderWayIsFollowedByOneForTheNewestCompleteEpoch() {
        send(5);
        send(6);
        assertThat(pipeline.complete(5)).containsExactly(new Commit(5));
        assertThat(pipeline.complete(6)).isEmpty();
        assertThat(pipeline.committed(5)).containsExactly(new Release(5), new TellCommitted(5), new Commit(6));
        assertThat(pipeline.committed(6)).containsExactly(new Release(6), new TellCommitted(6));
    }

    @Test
    void aFailedSealVoidsTheCheckpointAndUsesItsNumberUp() {
        pipeline.due();
        pipeline.armed(5);
        pipeline.harvested(5, true, 3);
        assertThat(pipeline.sealFailed(5)).containsExactly(new Discard(5), new Abort(5));
        assertThat(pipeline.sealed(5)).as("a late answer").isEmpty();
        assertThat(pipeline.inFlight()).isZero();
        assertThat(pipeline.due()).containsExactly(new Arm(6));
    }

    @Test
    void whatTheLibraryCouldNotCopyIsNotSealed() {
        pipeline.due();
        pipeline.armed(5);
        assertThat(pipeline.harvested(5, false, 3)).containsExactly(new Abort(5));
        assertThat(pipeline.sealed(5)).isEmpty();
        assertThat(pipeline.inFlight()).isZero();
        assertThat(pipeline.due()).containsExactly(new Arm(6));
    }

    @Test
    void aFailedSaveVoidsWhateverWasReached() {
        pipeline.due();
        assertThat(pipeline.saveFailed(5)).containsExactly(new Abort(5));
        pipeline.due();
        pipeline.armed(6);
        assertThat(pipeline.saveFailed(6)).containsExactly(new Abort(6));
        assertThat(pipeline.saveFailed(6)).as("once").isEmpty();
        pipeline.due();
        pipeline.armed(7);
        pipeline.harvested(7, true, 1);
        assertThat(pipeline.saveFailed(7)).containsExactly(new Abort(7));
        assertThat(pipeline.sealed(7)).isEmpty();
    }

    @Test
    void whatNoLegalRunContainsIsRefused() {
        assertThatThrownBy(() -> pipeline.complete(5)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> pipeline.committed(5)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> pipeline.armed(5)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> pipeline.harvested(5, true, 1)).isInstanceOf(IllegalStateException.class);
        send(5);
        send(6);
        assertThatThrownBy(() -> pipeline.complete(6)).isInstanceOf(IllegalStateException.class);
    }

    private void send(long epoch) {
        assertThat(pipeline.due()).containsExactly(new Arm(epoch));
        pipeline.armed(epoch);
        pipeline.saved(epoch);
        pipeline.harvested(epoch, true, 1);
        pipeline.sealed(epoch);
    }
}
