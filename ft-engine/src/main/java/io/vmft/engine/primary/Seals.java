package io.vmft.engine.primary;

import io.vmft.proto.blk.v1.EpochReply;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.LongConsumer;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Draws the line at the end of each epoch, without a way over the engine's loop: the seal is asked for on the tracker's thread as soon as the pause is
 * over, and the thread that brings the block server's answer tells the library. Until then what QEMU sends to its disks waits.
 *
 * <p>INVARIANT: the loop hears of an epoch's harvest before its seal is asked for, and the library of the seal before the loop does. So the next epoch,
 * which the loop arms, never finds a line open.
 */
final class Seals {
    /** Hears the block server's answer, on the loop. */
    interface Listener {
        /** One of the two is null. */
        void answered(long epoch, @Nullable EpochReply reply, @Nullable Throwable failure);
    }

    private final LongFunction<CompletableFuture<EpochReply>> blockServer;
    private final LongConsumer library;
    private final Executor loop;
    private final Listener listener;
    private volatile long armed;

    /**
     * @param blockServer asks it to seal an epoch
     * @param library tells it that an epoch is sealed; on any thread
     */
    Seals(
            LongFunction<CompletableFuture<EpochReply>> blockServer,
            LongConsumer library,
            Executor loop,
            Listener listener) {
        this.blockServer = blockServer;
        this.library = library;
        this.loop = loop;
        this.listener = listener;
    }

    /** The next harvest is this epoch's. On the loop, before the library is told. */
    void arm(long epoch) {
        armed = epoch;
    }

    /**
     * On the tracker's thread, of a valid harvest. One of an earlier protection is not answered here, but void for the loop; and one that the loop
     * voids meanwhile is so for the library whatever it hears from here.
     */
    void harvested(long epoch) {
        if (epoch != armed) {
            return;
        }
        blockServer.apply(epoch).whenComplete((reply, failure) -> {
            if (isSealed(reply)) {
                library.accept(epoch);
            }
            loop.execute(() -> listener.answered(epoch, reply, failure));
        });
    }

    static boolean isSealed(@Nullable EpochReply reply) {
        return reply != null && !reply.hasRefusal();
    }
}
