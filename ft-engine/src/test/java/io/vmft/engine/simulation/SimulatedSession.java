package io.vmft.engine.simulation;

import io.netty.buffer.ByteBuf;
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
import io.vmft.engine.simulation.SimulatedStorage.Answer;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * One VM protected by one backup: {@code ProtectionSession}'s and {@code CheckpointLoop}'s decisions around the production
 * {@link CheckpointPipeline}. Everything on the primary's host.
 */
final class SimulatedSession {
    private static final int SEAL_TICKS = 40;
    private static final int RETRY_TICKS = 10;
    private static final int UNSAVED = -1;

    private final SimulatedCluster cluster;
    private final SimulatedPrimary primary;
    private final SimulatedHost host;
    private final SimulatedHost backup;
    private final SimulatedGuest guest;
    private final long asked;

    private @Nullable SimulatedLink link;
    private @Nullable SimulatedStandby standby;
    private @Nullable CheckpointPipeline pipeline;
    private long generation;
    private boolean beginPending;
    private boolean begun;
    private boolean ended;
    private int harvested;
    /** What the state file says, or that QEMU could not write it. */
    private int stateVersion;

    private final Map<Long, Integer> pages = new HashMap<>();

    SimulatedSession(
            SimulatedCluster cluster,
            SimulatedPrimary primary,
            SimulatedHost host,
            SimulatedHost backup,
            SimulatedGuest guest,
            long generation) {
        this.cluster = cluster;
        this.primary = primary;
        this.host = host;
        this.backup = backup;
        this.guest = guest;
        this.asked = generation;
    }

    void start() {
        SimulatedStandby there = backup.standby();
        if (there == null || !backup.isAlive() || !cluster.network().connects(0, 1)) {
            end();
            return;
        }
        standby = there;
        SimulatedLink[] made = new SimulatedLink[1];
        SimulatedLink connected = new SimulatedLink(
                cluster.schedule(), cluster.network(), host, why -> end(), backup, why -> there.closed(made[0]));
        made[0] = connected;
        link = connected;
        host.connected(connected);
        backup.connected(connected);
        connected.send(host, () -> there.hello(connected, this));
    }

    private boolean isOver() {
        return ended || host.primary() != primary;
    }

    void refused() {
        end();
    }

    void welcome() {
        if (isOver()) {
            return;
        }
        beginPending = true;
        BeginProtectRequest request = BeginProtectRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setGeneration(asked)
                .setBackup(backup.name())
                .build();
        cluster.network()
                .ask(
                        host,
                        () -> host.primary() == primary,
                        storage -> storage.beginProtect(request),
                        this::beginAnswered);
    }

    private void beginAnswered(Answer answer) {
        beginPending = false;
        if (answer.refusal() != null) {
            if (answer.refusal() == Refusal.Code.FENCED) {
                primary.fenced();
            } else if (answer.refusal() == Refusal.Code.DATA_LOST) {
                primary.dataLost();
            }
            if (ended) {
                primary.sessionEnded(this, false);
            } else {
                end();
            }
            return;
        }
        ArbiterRecord record = answer.record();
        begun = true;
        generation = record.getGeneration();
        primary.recordChanged(record);
        SimulatedLink to = link;
        SimulatedStandby there = standby;
        if (ended || to == null || there == null) {
            primary.sessionEnded(this, true);
            return;
        }
        pipeline = new CheckpointPipeline(record.getSealedEpoch() + 1, cluster.maxInFlight());
        to.send(host, () -> there.prepare(to, this, generation, record.getStandbyGeneration()));
    }

    void ready() {
        if (isOver()) {
            return;
        }
        int all = guest.harvest();
        ByteBuf copy = guest.copy(all);
        toStandby((to, there) -> there.syncPages(to, copy));
        tick();
    }

    private void tick() {
        if (isOver()) {
            return;
        }
        perform(pipeline().due());
        host.later(cluster.schedule().between(8, 25), this::tick);
    }

    private CheckpointPipeline pipeline() {
        CheckpointPipeline current = pipeline;
        if (current == null) {
            throw new IllegalStateException("no checkpoint before the arbiter knows the backup");
        }
        return current;
    }

    private interface ToStandby {
        void send(SimulatedLink to, SimulatedStandby there);
    }

    private void toStandby(ToStandby message) {
        SimulatedLink to = link;
        SimulatedStandby there = standby;
        if (to != null && there != null) {
            to.send(host, () -> message.send(to, there));
        }
    }

    private void perform(List<PipelineAction> actions) {
        for (PipelineAction action : actions) {
            if (isOver()) {
                return;
            }
            perform(action);
        }
    }

    private void perform(PipelineAction action) {
        switch (action) {
            case Arm(long epoch) -> host.later(cluster.schedule().between(0, 3), () -> armed(epoch));
            case Mark(long epoch) -> guest.mark(epoch);
            case Save(long epoch) -> host.later(cluster.schedule().between(0, 2), () -> pause(epoch));
            case Seal(long epoch) -> seal(epoch);
            case ConfirmSealed(long epoch) -> guest.holdDisk(false);
            case Discard(long epoch) -> voided();
            case Abort(long epoch) -> toStandby((to, there) -> there.abort(to, epoch));
            case SendEnd(long epoch, long count) -> sendEnd(epoch);
            case Commit(long epoch) -> commit(epoch);
            case Release(long epoch) -> guest.release(epoch);
            case TellCommitted(long epoch) -> toStandby((to, there) -> there.committed(to, epoch));
        }
    }

    private void armed(long epoch) {
        if (!isOver()) {
            perform(pipeline().armed(epoch));
        }
    }

    private void pause(long epoch) {
        if (isOver()) {
            return;
        }
        if (guest.pause()) {
            stateVersion = cluster.schedule().unusual(20) ? UNSAVED : guest.version();
            endPause(epoch, !cluster.schedule().unusual(20));
        } else {
            host.later(1, () -> pause(epoch));
        }
    }

    private void voided() {
        guest.holdDisk(false);
        if (cluster.mistake() != Mistake.FORGET_PAGES_OF_A_VOID_CHECKPOINT) {
            guest.dirtyAgain(harvested);
        }
    }

    private void seal(long epoch) {
        SealRequest request = SealRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
        boolean[] done = new boolean[1];
        cluster.network().send(host, storage -> storage.seal(request), answer -> {
            if (!done[0] && !isOver() && cluster.mistake() != Mistake.SKIP_SEAL) {
                done[0] = true;
                sealAnswered(epoch, answer);
            }
        });
        if (cluster.mistake() == Mistake.SKIP_SEAL) {
            done[0] = true;
            perform(pipeline().sealed(epoch));
        }
        host.later(SEAL_TICKS, () -> {
            if (!done[0] && !isOver()) {
                done[0] = true;
                perform(pipeline().sealFailed(epoch));
            }
        });
    }

    private void sealAnswered(long epoch, Answer answer) {
        if (answer.refusal() == null) {
            perform(pipeline().sealed(epoch));
        } else if (!isOver(answer.refusal())) {
            perform(pipeline().sealFailed(epoch));
        }
    }

    private boolean isOver(Refusal.Code refusal) {
        if (refusal == Refusal.Code.FENCED) {
            primary.fenced();
        } else if (refusal == Refusal.Code.DATA_LOST && cluster.mistake() != Mistake.TRY_AGAIN_AFTER_DATA_LOSS) {
            primary.dataLost();
        } else {
            return false;
        }
        end();
        return true;
    }

    private void endPause(long epoch, boolean valid) {
        harvested = guest.harvest();
        int sent = cluster.mistake() == Mistake.DROP_A_PAGE && epoch % 7 == 0 ? harvested & ~1 : harvested;
        pages.put(epoch, Integer.bitCount(sent));
        ByteBuf copy = guest.copy(sent);
        toStandby((to, there) -> there.pages(to, epoch, copy));
        host.later(cluster.schedule().between(0, 4), () -> {
            guest.resume();
            if (valid && !isOver()) {
                guest.holdDisk(cluster.mistake() != Mistake.WRITE_BEFORE_SEAL);
            } else {
                voided();
            }
            if (!isOver()) {
                perform(pipeline().harvested(epoch, valid, Integer.bitCount(harvested)));
            }
            host.later(cluster.schedule().between(0, 4), () -> saved(epoch));
        });
    }

    /** What QEMU says of its state, which may be after the seal. */
    private void saved(long epoch) {
        if (isOver()) {
            return;
        }
        boolean failed = stateVersion == UNSAVED;
        if (failed && cluster.mistake() != Mistake.SEND_UNSAVED_STATE) {
            List<PipelineAction> undone = pipeline().saveFailed(epoch);
            if (!undone.isEmpty()) {
                perform(undone);
                voided();
            }
        } else {
            perform(pipeline().saved(epoch));
        }
    }

    long pagesOf(long epoch) {
        return pages.getOrDefault(epoch, 0);
    }

    private void sendEnd(long epoch) {
        int version = stateVersion;
        toStandby((to, there) -> there.end(to, this, epoch, version));
        if (cluster.mistake() == Mistake.COMMIT_BEFORE_COMPLETE) {
            perform(pipeline().complete(epoch));
        }
    }

    void complete(long epoch) {
        if (!isOver() && cluster.mistake() != Mistake.COMMIT_BEFORE_COMPLETE) {
            perform(pipeline().complete(epoch));
        }
    }

    private void commit(long epoch) {
        if (cluster.mistake() == Mistake.RELEASE_BEFORE_COMMIT) {
            guest.release(epoch);
        }
        CommitRequest request = CommitRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
        cluster.network().ask(host, () -> !isOver(), storage -> storage.commit(request), answer -> {
            Refusal.Code refusal = answer.refusal();
            if (refusal == null) {
                perform(pipeline().committed(epoch));
            } else if (refusal == Refusal.Code.STORAGE_FAILED
                    || (refusal == Refusal.Code.DATA_LOST && cluster.mistake() == Mistake.TRY_AGAIN_AFTER_DATA_LOSS)) {
                host.later(RETRY_TICKS, () -> {
                    if (!isOver()) {
                        commit(epoch);
                    }
                });
            } else if (!isOver(refusal)) {
                end();
            }
        });
    }

    /** Idempotent; while BeginProtect is under way its answer ends the session. */
    void end() {
        if (ended) {
            return;
        }
        ended = true;
        guest.resume();
        guest.holdDisk(false);
        if (link != null) {
            link.close(host);
        }
        if (!beginPending) {
            primary.sessionEnded(this, begun);
        }
    }
}
