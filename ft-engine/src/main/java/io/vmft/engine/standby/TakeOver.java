package io.vmft.engine.standby;

import io.netty.buffer.ByteBufUtil;
import io.vmft.engine.EngineContext;
import io.vmft.engine.EngineStatus;
import io.vmft.engine.blk.BlkControl;
import io.vmft.engine.vm.GuestVm;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes the VM of a suspected primary over: asks the arbiter until it answers for good, brings memory to the epoch it chose, and lets
 * the waiting QEMU go on from there, with its output open and the frames that were under way sent and given again.
 *
 * <pre>
 *  ask ──granted──▶ fold up to the epoch ──▶ restore ──▶ open output, replay frames ──▶ it runs here
 *   ▲ │└──────────────────────────────────────┴──refused, or failed──────────────────▶ it does not
 *   └─┘ not yet
 * </pre>
 *
 * <p>Made by {@link StandbySession} for one suspicion; the VM and what was received for it stay the session's. On the engine's
 * loop only.
 */
final class TakeOver {
    private static final Logger log = LoggerFactory.getLogger(TakeOver.class);
    private static final long ASK_AGAIN_MILLIS = 200;

    private final EngineContext context;
    private final GuestVm vm;
    private final CheckpointReceiver received;
    private final TakeOverRequest request;
    private final StandbyRole.TookOver tookOver;
    private final Runnable gaveUp;
    private final long suspectedNanos = System.nanoTime();
    private boolean granted;
    private boolean cancelled;
    private @Nullable CompletableFuture<TakeOverReply> asked;

    /**
     * @param generation under which the VM was protected here
     * @param range of epochs that the arbiter may choose from
     * @param reason for which the primary is suspected
     * @param tookOver called when the VM runs here
     * @param gaveUp called when it does not, and will not
     */
    TakeOver(
            EngineContext context,
            GuestVm vm,
            CheckpointReceiver received,
            long generation,
            StandbyEpochs.Range range,
            String reason,
            StandbyRole.TookOver tookOver,
            Runnable gaveUp) {
        this.context = context;
        this.vm = vm;
        this.received = received;
        this.tookOver = tookOver;
        this.gaveUp = gaveUp;
        this.request = TakeOverRequest.newBuilder()
                .setVm(context.vm())
                .setGeneration(generation)
                .setHost(context.host())
                .setOldestEpoch(range.oldest())
                .setNewestEpoch(range.newest())
                .setReason(reason)
                .build();
    }

    /** Asks, and asks again while the VM may still be granted. */
    void ask() {
        if (!cancelled) {
            CompletableFuture<TakeOverReply> answer = context.control().takeOver(request);
            asked = answer;
            answer.whenCompleteAsync(this::answered, context.loop());
        }
    }

    /**
     * The VM is not wanted here any more: it is not asked for again, and does not go on here. What the block server was asked already it
     * may still grant.
     */
    void cancel() {
        cancelled = true;
        if (asked != null) {
            asked.cancel(false);
        }
    }

    /** Whether the arbiter gave the VM to this host: then nobody else may run it, and what comes of it is said here. */
    boolean isGranted() {
        return granted;
    }

    private void answered(@Nullable TakeOverReply reply, @Nullable Throwable failure) {
        granted = reply != null && !reply.hasRefusal();
        if (cancelled) {
            if (granted) {
                sayLost();
            }
            return;
        }
        if (reply != null && mayStillBeGranted(reply)) {
            log.warn(
                    "{}: not taken over yet, asking on: {}",
                    context.vm(),
                    reply.getRefusal().getMessage());
            context.loop().schedule(this::ask, ASK_AGAIN_MILLIS, TimeUnit.MILLISECONDS);
            return;
        }
        if (reply == null || reply.hasRefusal()) {
            log.warn(
                    "{}: not taken over: {}",
                    context.vm(),
                    reply != null
                            ? reply.getRefusal().getMessage()
                            : failure == null ? "no answer" : BlkControl.describe(failure));
            gaveUp.run();
            return;
        }
        restore(reply);
    }

    /**
     * Whether the same call may be granted later: then what is held here is kept. While the block server cannot write nobody has the
     * VM. And in SYNCING the primary's first commit may be on its way; if it comes and the primary is gone, the VM is this backup's.
     * Whatever else becomes of the VM raises its generation, and FENCED ends this.
     */
    private static boolean mayStillBeGranted(TakeOverReply reply) {
        return switch (reply.getRefusal().getCode()) {
            case STORAGE_FAILED -> true;
            case WRONG_MODE -> reply.getRecord().getMode() == Mode.SYNCING;
            default -> false;
        };
    }

    private void restore(TakeOverReply reply) {
        restored(reply.getEpoch())
                .whenCompleteAsync(
                        (running, failure) -> {
                            if (failure != null) {
                                failed(reply.getEpoch(), failure);
                                return;
                            }
                            try {
                                goOn(reply);
                            } catch (RuntimeException e) {
                                failed(reply.getEpoch(), e);
                            }
                        },
                        context.loop());
    }

    private void sayLost() {
        log.error(
                "{}: it is this host's, but cannot go on here any more; boot it with: vmft ft-engine run",
                context.vm());
    }

    private void failed(long epoch, Throwable failure) {
        log.error(
                "{}: epoch {}: the VM could not go on here: {}; boot it with: vmft ft-engine run",
                context.vm(),
                epoch,
                failure.getMessage() == null ? failure.toString() : failure.getMessage());
        gaveUp.run();
    }

    /** Completes when the VM runs at the epoch. Fails and never throws: within the arbiter's answer nobody would hear of it. */
    private CompletableFuture<Void> restored(long epoch) {
        try {
            byte[] deviceState = ByteBufUtil.getBytes(received.epochs().goTo(epoch));
            return vm.restore(deviceState, received.ageNanos(epoch));
        } catch (RuntimeException | InternalError e) { // the latter where memory's file system has no room for a page
            return CompletableFuture.failedFuture(e);
        }
    }

    private void goOn(TakeOverReply reply) {
        if (cancelled) {
            sayLost();
            return;
        }
        vm.network().open();
        received.frames().replay(reply.getEpoch(), vm.network()::sendFromBefore, vm.network()::deliverAgain);
        double millis = (System.nanoTime() - suspectedNanos) / 1e6;
        tookOver.tookOver(
                vm, reply.getRecord(), new EngineStatus.TakeOver(reply.getEpoch(), millis, request.getReason()));
    }
}
