package io.vmft.engine.primary;

import io.vmft.engine.EngineContext;
import io.vmft.engine.vm.GuestVm;
import io.vmft.proto.blk.v1.EpochReply;
import org.jspecify.annotations.Nullable;

/**
 * What a stopped guest waits for, without a way over the engine's loop: the net gate's mark and the seal begin on the tracker's thread, and the
 * thread that brings the block server's answer tells the library.
 *
 * <p>INVARIANT: the loop hears of an epoch's pause before the seal is asked for, and of the seal before the library does. So it knows of
 * both when it hears of the harvest that was valid because of them.
 */
final class PauseSeals {
    /** Hears the block server's answer, on the loop. */
    interface Listener {
        /** One of the two is null. */
        void answered(long epoch, @Nullable EpochReply reply, @Nullable Throwable failure);
    }

    private final EngineContext context;
    private final GuestVm vm;
    private final long generation;
    private final Listener listener;
    private volatile long armed;

    PauseSeals(EngineContext context, GuestVm vm, long generation, Listener listener) {
        this.context = context;
        this.vm = vm;
        this.generation = generation;
        this.listener = listener;
    }

    /** The next pause is this epoch's. On the loop, before the library is told. */
    void arm(long epoch) {
        armed = epoch;
    }

    /** On the tracker's thread. A pause of an earlier protection is not answered here. A pause that the loop voids meanwhile is void for the library whatever it hears from here. */
    void paused(long epoch) {
        if (epoch != armed) {
            return;
        }
        vm.network().endEpoch(epoch);
        context.control()
                .seal(context.vm(), generation, epoch, GuestVm.PAUSE_TIMEOUT)
                .whenComplete((reply, failure) -> {
                    context.handOver(() -> listener.answered(epoch, reply, failure));
                    if (isSealed(reply)) {
                        vm.tracker().sealed(epoch);
                    }
                });
    }

    static boolean isSealed(@Nullable EpochReply reply) {
        return reply != null && !reply.hasRefusal();
    }
}
