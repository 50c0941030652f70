package io.vmft.engine.simulation;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.engine.simulation.SimulatedStorage.Answer;
import io.vmft.engine.standby.RamImage;
import io.vmft.engine.standby.StandbyEpochs;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.TakeOverRequest;
import org.jspecify.annotations.Nullable;

/**
 * A standby: the decisions of {@code StandbySession} and {@code TakeOver} around the production {@link StandbyEpochs}. Everything on
 * its host.
 */
final class SimulatedStandby {
    private enum State {
        WAITING,
        GREETED,
        SYNCING,
        HOLDING,
        TAKING_OVER
    }

    private static final int LOOK_TICKS = 40;
    private static final int RETRY_TICKS = 10;

    private final SimulatedCluster cluster;
    private final SimulatedHost host;
    private final int[] image = new int[SimulatedGuest.PAGES];
    private State state = State.WAITING;
    private @Nullable SimulatedLink primary;
    private @Nullable StandbyEpochs epochs;
    private long generation;
    private long standbyGeneration;

    SimulatedStandby(SimulatedCluster cluster, SimulatedHost host) {
        this.cluster = cluster;
        this.host = host;
        look();
    }

    private boolean isCurrent() {
        return host.standby() == this;
    }

    /** Whether the VM will go on here if its primary of {@code current} dies now. */
    boolean canTakeOver(long current) {
        return generation == current && (state == State.HOLDING || state == State.TAKING_OVER);
    }

    private void look() {
        if (state == State.HOLDING) {
            long asked = generation;
            cluster.network().send(host, SimulatedStorage::get, answer -> {
                ArbiterRecord record = answer.record();
                if (cluster.mistake() != Mistake.TRY_AGAIN_AFTER_DATA_LOSS
                        && isCurrent()
                        && state == State.HOLDING
                        && asked == generation
                        && record.getDataLost()
                        && record.getMode() == Mode.PROTECTED
                        && record.getGeneration() == generation) {
                    SimulatedLink from = primary;
                    primaryLost();
                    if (from != null) {
                        from.close(host);
                    }
                }
            });
        }
        host.later(LOOK_TICKS, () -> {
            if (isCurrent()) {
                look();
            }
        });
    }

    void hello(SimulatedLink from, SimulatedSession session) {
        if (!isCurrent() || state != State.WAITING) {
            from.send(host, session::refused);
            return;
        }
        state = State.GREETED;
        primary = from;
        from.send(host, session::welcome);
    }

    void prepare(SimulatedLink from, SimulatedSession session, long prepared, long standby) {
        if (isPrimary(from) && state == State.GREETED) {
            generation = prepared;
            standbyGeneration = standby;
            epochs = new StandbyEpochs(new RamImage() {
                @Override
                public long pages() {
                    return SimulatedGuest.PAGES;
                }

                @Override
                public void setPage(long pageIndex, ByteBuf source, int offset) {
                    image[(int) pageIndex] = source.getInt(offset);
                }

                @Override
                public void getPage(long pageIndex, byte[] target) {
                    throw new UnsupportedOperationException("the simulated primary packs no pages");
                }

                @Override
                public int digest(int piece) {
                    throw new UnsupportedOperationException("the simulated primary sends no digests");
                }

                @Override
                public void setZero(long pageIndex) {
                    image[(int) pageIndex] = 0;
                }
            });
            state = State.SYNCING;
            from.send(host, session::ready);
        }
    }

    void syncPages(SimulatedLink from, ByteBuf pages) {
        if (isPrimary(from)) {
            epochs().syncPages(pages);
        }
    }

    void pages(SimulatedLink from, long epoch, ByteBuf pages) {
        if (isPrimary(from)) {
            epochs().pages(epoch, pages);
        }
    }

    void abort(SimulatedLink from, long epoch) {
        if (isPrimary(from)) {
            epochs().abort(epoch);
        }
    }

    void end(SimulatedLink from, SimulatedSession session, long epoch, int version) {
        if (!isPrimary(from)) {
            return;
        }
        epochs().deviceState(epoch, Unpooled.buffer(4).writeInt(version));
        epochs().end(epoch, session.pagesOf(epoch));
        state = State.HOLDING;
        cluster.storage().isComplete(generation, epoch);
        if (cluster.mistake() == Mistake.FOLD_EARLY) {
            epochs().committed(epoch);
        }
        from.send(host, () -> session.complete(epoch));
    }

    void committed(SimulatedLink from, long epoch) {
        if (isPrimary(from)) {
            epochs().committed(epoch);
        }
    }

    private boolean isPrimary(SimulatedLink from) {
        return isCurrent() && from == primary;
    }

    private StandbyEpochs epochs() {
        StandbyEpochs current = epochs;
        if (current == null) {
            throw new IllegalStateException("a checkpoint before READY");
        }
        return current;
    }

    void closed(SimulatedLink from) {
        if (isPrimary(from)) {
            primaryLost();
        }
    }

    private void primaryLost() {
        primary = null;
        StandbyEpochs.Range range = epochs == null ? null : epochs.takeOverRange();
        if (range == null || state != State.HOLDING) {
            reset();
            return;
        }
        state = State.TAKING_OVER;
        takeOver(range);
    }

    private void takeOver(StandbyEpochs.Range range) {
        if (!isCurrent() || state != State.TAKING_OVER) {
            return;
        }
        TakeOverRequest request = TakeOverRequest.newBuilder()
                .setVm(SimulatedStorage.VM)
                .setGeneration(generation)
                .setHost(host.name())
                .setOldestEpoch(range.oldest())
                .setNewestEpoch(range.newest())
                .build();
        cluster.network()
                .ask(
                        host,
                        () -> isCurrent() && state == State.TAKING_OVER,
                        storage -> storage.takeOver(request),
                        answer -> answered(answer, range));
    }

    private void answered(Answer answer, StandbyEpochs.Range range) {
        if (answer.refusal() == Refusal.Code.STORAGE_FAILED
                || (answer.refusal() == Refusal.Code.WRONG_MODE
                        && answer.record().getMode() == Mode.SYNCING)) {
            host.later(RETRY_TICKS, () -> takeOver(range));
            return;
        }
        if (answer.refusal() != null) {
            reset();
            return;
        }
        long epoch = answer.record().getCommittedEpoch();
        int version;
        try {
            version = epochs().goTo(epoch).getInt(0);
        } catch (IllegalStateException e) {
            cluster.outside().violate("taken over at epoch " + epoch + ", but: " + e.getMessage());
            reset();
            return;
        }
        int[] whole = SimulatedGuest.memoryOf(version);
        for (int i = 0; i < whole.length; i++) {
            cluster.outside()
                    .check(
                            image[i] == whole[i],
                            "epoch " + epoch + ", version " + version + ": page " + i + " is of version " + image[i]);
        }
        release();
        cluster.tookOver(host, answer.record(), standbyGeneration, version, image);
    }

    private void reset() {
        release();
        primary = null;
        generation = 0;
        state = State.WAITING;
    }

    void release() {
        if (epochs != null) {
            epochs.close();
            epochs = null;
        }
    }
}
