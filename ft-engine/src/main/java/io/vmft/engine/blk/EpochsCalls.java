package io.vmft.engine.blk;

import io.vmft.proto.blk.v1.EpochReply;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One {@link EpochsCall} after the other: the next is opened when something is asked and the last has ended. Thread-safe.
 *
 * @param <Q> what is asked
 */
final class EpochsCalls<Q> {
    private final Consumer<EpochsCall<Q>> open;
    /** Under way, or the last one. */
    private @Nullable EpochsCall<Q> call;

    /**
     * Opens none yet.
     *
     * @param open starts a call
     */
    EpochsCalls(Consumer<EpochsCall<Q>> open) {
        this.open = open;
    }

    /** As {@link EpochsCall#ask}. */
    CompletableFuture<EpochReply> ask(Q request, long epoch, Duration limit, ScheduledExecutorService timer) {
        return current().ask(request, epoch, limit, timer);
    }

    private synchronized EpochsCall<Q> current() {
        if (call == null || call.hasEnded()) {
            EpochsCall<Q> next = new EpochsCall<>();
            open.accept(next);
            call = next;
        }
        return call;
    }
}
