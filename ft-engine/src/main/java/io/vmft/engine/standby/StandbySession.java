package io.vmft.engine.standby;

import com.google.protobuf.InvalidProtocolBufferException;
import io.netty.buffer.ByteBufUtil;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineStatus;
import io.vmft.engine.replication.Link;
import io.vmft.engine.vm.GuestVm;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.engine.v1.Prepare;
import io.vmft.proto.engine.v1.Ready;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One primary's VM that is backed up here, from the primary's welcome until the VM is given up or runs here; the counterpart of the
 * primary's {@code ProtectionSession}. Owns the QEMU that waits and what is received for it. Made and ended by {@link StandbyRole},
 * whose the link stays. On the engine's loop only.
 *
 * <pre>
 *  GREETED ──prepare──▶ STARTING ──▶ SYNCING ──first end──▶ HOLDING ──link lost──▶ TAKING_OVER ──granted──▶ (runs here)
 *     │                    │            │                      │bye                     │refused               │
 *     └────────────────────┴────────────┴──────────────────────┴────────────────────────┴──────────────────────┴──▶ ENDED
 * </pre>
 */
final class StandbySession implements CheckpointReceiver.Owner {
    enum Phase {
        GREETED,
        STARTING,
        SYNCING,
        HOLDING,
        TAKING_OVER,
        ENDED
    }

    /**
     * How a session stands.
     *
     * @param peer the primary's address; null when frames are taken from nobody
     * @param generation under which the VM is protected here; 0 before the primary has said it
     * @param foldedEpoch at which memory stands; 0 before the first
     * @param newestComplete the newest epoch that is held whole; 0 before the first
     * @param completed checkpoints that were received whole
     * @param verified epochs at which memory was found equal to the primary's
     * @param qemuPid of the QEMU that waits; 0 if none does
     */
    record Status(
            Phase phase,
            @Nullable String peer,
            long generation,
            long foldedEpoch,
            long newestComplete,
            long completed,
            long verified,
            long qemuPid) {
        /** Before the first primary came. */
        static final Status NONE = new Status(Phase.ENDED, null, 0, 0, 0, 0, 0, 0);
    }

    private static final Logger log = LoggerFactory.getLogger(StandbySession.class);

    private final EngineContext context;
    private final String primaryHost;
    private final StandbyRole.TookOver tookOver;

    private Phase phase = Phase.GREETED;
    /** Null when it is suspected, or the session has ended. */
    private @Nullable Link primary;

    private Prepare prepared = Prepare.getDefaultInstance();
    /** Until QEMU has started and was taken, or did not. */
    private CompletableFuture<Void> starting = CompletableFuture.completedFuture(null);

    private @Nullable Thread starter;

    private @Nullable GuestVm vm;
    private @Nullable CheckpointReceiver receiver;
    private @Nullable DataLossWatch dataLoss;
    private @Nullable TakeOver takeOver;
    private long completed;
    private long verified;

    /** @param tookOver takes the VM when the session ends with it running here */
    StandbySession(EngineContext context, Link primary, String primaryHost, StandbyRole.TookOver tookOver) {
        this.context = context;
        this.primary = primary;
        this.primaryHost = primaryHost;
        this.tookOver = tookOver;
    }

    /** Called before a payload of so many bytes is read, from whomever; throws if it is too much. */
    void requireRoom(int lengthBytes) {
        if (receiver != null) {
            receiver.requireRoom(lengthBytes);
        }
    }

    /** Takes what the {@link #primary} sent; the frame stays the caller's. What no honest primary sends throws. */
    void frame(Link from, Frame frame) throws InvalidProtocolBufferException {
        switch (frame.type()) {
            case PREPARE -> prepare(from, Prepare.parseFrom(ByteBufUtil.getBytes(frame.payload())));
            case BYE -> {
                log.info("{}: {}", context.vm(), frame.payload().toString(StandardCharsets.UTF_8));
                end();
                from.close("the VM has ended");
            }
            default -> {
                if (receiver == null) {
                    throw new IllegalStateException("a checkpoint before READY");
                }
                receiver.frame(frame);
            }
        }
    }

    private void prepare(Link from, Prepare prepare) {
        if (phase != Phase.GREETED) {
            throw new IllegalStateException("PREPARE while " + phase);
        }
        prepared = prepare;
        phase = Phase.STARTING;
        CompletableFuture<GuestVm> result = new CompletableFuture<>();
        starter = Thread.ofVirtual().name(context.vm() + "-start").start(() -> {
            try {
                result.complete(GuestVm.start(context, prepare.getStandbyGeneration(), true));
            } catch (Throwable e) { // errors too: who waits for this would wait for ever
                result.completeExceptionally(e);
            }
        });
        starting = result.handleAsync(
                (started, failure) -> {
                    starter = null;
                    take(from, started, failure);
                    return null;
                },
                context.loop());
    }

    private void take(Link from, @Nullable GuestVm started, @Nullable Throwable failure) {
        if (phase == Phase.STARTING) {
            try {
                started(from, started, failure);
                return;
            } catch (RuntimeException e) {
                log.error("{}: cannot get ready", context.vm(), e);
                end();
                from.close("the backup cannot get ready: " + e);
            }
        }
        if (started != null) {
            started.close();
        }
    }

    private void started(Link from, @Nullable GuestVm started, @Nullable Throwable failure) {
        if (started == null) {
            notReady(from, failure == null ? "no reason given" : String.valueOf(failure.getMessage()));
            return;
        }
        String refusal = Compatibility.refusal(prepared, started.layout());
        if (!refusal.isEmpty()) {
            started.close();
            notReady(from, refusal);
            return;
        }
        vm = started;
        receiver = new CheckpointReceiver(
                from,
                started.ram(),
                context.config().nics().size(),
                context.config().protection().maxInFlight(),
                this);
        DataLossWatch watch = new DataLossWatch(context, prepared.getGeneration(), this::dataLost);
        dataLoss = watch;
        phase = Phase.SYNCING;
        started.listen(new StandbyVmEvents(this::qemuDied));
        log.info("{}: generation {}: ready for {}", context.vm(), prepared.getStandbyGeneration(), primaryHost);
        from.send(FrameType.READY, 0, Ready.getDefaultInstance().toByteArray());
        watch.look();
    }

    private void notReady(Link from, String why) {
        log.error("{}: cannot get ready: {}", context.vm(), why);
        from.send(FrameType.READY, 0, Ready.newBuilder().setRefusal(why).build().toByteArray());
    }

    @Override
    public void complete() {
        completed++;
        phase = Phase.HOLDING;
    }

    @Override
    public void equal() {
        verified++;
    }

    /** Memory that is wrong must not run: this is no backup any more, until a new first sync. */
    @Override
    public void differs(String where) {
        log.error(
                "{}: generation {}: VERIFICATION FAILED, this is no backup any more: {}",
                context.vm(),
                prepared.getStandbyGeneration(),
                where);
        end();
    }

    @Override
    public void memoryFailed(String why) {
        log.error("{}: this is no backup any more: {}", context.vm(), why);
        end();
    }

    private void dataLost(long committedEpoch) {
        Link from = primary;
        if (from != null && phase == Phase.HOLDING) {
            String reason = "the storage host lost data, epoch " + committedEpoch + " stands";
            primaryLost(reason);
            from.close(reason);
        }
    }

    private void qemuDied(String how) {
        log.error("{}: the waiting QEMU is gone, this is no backup any more: {}", context.vm(), how);
        if (takeOver != null && takeOver.isGranted()) {
            // What waits for QEMU to go on fails now, and says so.
            return;
        }
        Link from = primary;
        end();
        if (from != null) {
            from.close("the backup's QEMU is gone");
        }
    }

    /** The primary is suspected: takes its VM over if there is anything to go on from, else ends. */
    void primaryLost(String reason) {
        primary = null;
        GuestVm guest = vm;
        CheckpointReceiver held = receiver;
        StandbyEpochs.Range range = null;
        if (held != null) {
            held.primaryLost();
            range = held.epochs().takeOverRange();
        }
        if (guest == null || held == null || range == null || phase != Phase.HOLDING) {
            log.info(
                    "{}: primary {} left before there was anything to take over: {}",
                    context.vm(),
                    primaryHost,
                    reason);
            end();
            return;
        }
        phase = Phase.TAKING_OVER;
        log.warn(
                "{}: primary {} is suspected: {}; asking to take over at an epoch from {} to {}",
                context.vm(),
                primaryHost,
                reason,
                range.oldest(),
                range.newest());
        if (dataLoss != null) {
            dataLoss.close();
        }
        takeOver =
                new TakeOver(context, guest, held, prepared.getGeneration(), range, reason, this::runsHere, this::end);
        takeOver.ask();
    }

    private void runsHere(GuestVm guest, ArbiterRecord record, EngineStatus.TakeOver done) {
        log.warn(
                "{}: generation {}, epoch {}: TOOK OVER from {} in {} ms; UNPROTECTED until a backup comes",
                context.vm(),
                record.getGeneration(),
                done.epoch(),
                primaryHost,
                String.format(Locale.ROOT, "%.1f", done.millis()));
        vm = null;
        end();
        try {
            tookOver.tookOver(guest, record, done);
        } catch (RuntimeException e) {
            guest.close();
            throw e;
        }
    }

    /** Completes when no QEMU is being started; after {@link #end}: when none is left. Never fails. */
    CompletableFuture<Void> settled() {
        return starting.handle((done, failure) -> null);
    }

    /** Gives the VM up and ends its QEMU, which blocks until that is gone; idempotent. The link stays open. */
    void end() {
        phase = Phase.ENDED;
        primary = null;
        if (starter != null) {
            starter.interrupt();
        }
        if (dataLoss != null) {
            dataLoss.close();
            dataLoss = null;
        }
        if (takeOver != null) {
            takeOver.cancel();
            takeOver = null;
        }
        if (receiver != null) {
            receiver.close();
            receiver = null;
        }
        if (vm != null) {
            vm.close();
            vm = null;
        }
    }

    /** From whom frames are taken; null: from nobody any more. */
    @Nullable
    Link primary() {
        return primary;
    }

    String primaryHost() {
        return primaryHost;
    }

    Status status() {
        return new Status(
                phase,
                primary == null ? null : primary.peer(),
                prepared.getGeneration(),
                receiver == null ? 0 : receiver.epochs().foldedEpoch(),
                receiver == null ? 0 : receiver.epochs().newestComplete(),
                completed,
                verified,
                vm == null ? 0 : vm.pid());
    }
}
