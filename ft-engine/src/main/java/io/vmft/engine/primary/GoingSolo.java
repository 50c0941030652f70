package io.vmft.engine.primary;

import io.vmft.engine.EngineContext;
import io.vmft.engine.blk.BlkControl;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.Refusal;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the arbiter whether a VM that lost its backup may go on alone, until it answers for good. As long as it has not, nobody knows
 * whether the backup took the VM over: output stays held.
 *
 * <pre>
 *  ask ──granted───────────────────▶ Alone
 *   ▲ │└─refused, or never answered─▶ Fenced, DataLost
 *   └─┘ the block server cannot write
 * </pre>
 *
 * <p>Made by {@link PrimaryRole} for one lost backup; the VM stays the role's, which does what the outcome says. On the engine's loop
 * only.
 */
final class GoingSolo {
    sealed interface Outcome {}

    /** The backup cannot take the VM over any more, and what it wrote is kept: its output may go. */
    record Alone(ArbiterRecord record) implements Outcome {}

    /** The VM may not run here any more. */
    record Fenced(String message) implements Outcome {}

    /** The storage host lost what the guest wrote: it must end here. */
    record DataLost(String message) implements Outcome {}

    private static final Logger log = LoggerFactory.getLogger(GoingSolo.class);
    private static final long ASK_AGAIN_MILLIS = 200;

    private final EngineContext context;
    private final GoSoloRequest request;
    private final Consumer<Outcome> then;
    private boolean cancelled;

    /**
     * @param generation under which the VM was protected
     * @param reason for which its backup is lost
     * @param then hears the outcome, once; never after {@link #cancel}
     */
    GoingSolo(EngineContext context, long generation, String reason, Consumer<Outcome> then) {
        this.context = context;
        this.then = then;
        this.request = GoSoloRequest.newBuilder()
                .setVm(context.vm())
                .setGeneration(generation)
                .setReason(reason)
                .build();
    }

    /** Asks, and asks again while the block server cannot write, when nobody can be given the VM. */
    void ask() {
        if (!cancelled) {
            context.control().goSolo(request).whenCompleteAsync(this::answered, context.loop());
        }
    }

    /** The VM ends here whatever the arbiter says: an answer that comes still is not heard. */
    void cancel() {
        cancelled = true;
    }

    private void answered(@Nullable ArbiterReply reply, @Nullable Throwable failure) {
        if (cancelled) {
            return;
        }
        if (reply == null) {
            then.accept(new Fenced("the block server did not let it go on: "
                    + (failure == null ? "no answer" : BlkControl.describe(failure))));
        } else if (reply.hasRefusal()) {
            refused(reply.getRefusal());
        } else {
            then.accept(new Alone(reply.getRecord()));
        }
    }

    private void refused(Refusal refusal) {
        switch (refusal.getCode()) {
            case STORAGE_FAILED -> {
                log.warn("{}: not alone yet, trying again: {}", context.vm(), refusal.getMessage());
                context.loop().schedule(this::ask, ASK_AGAIN_MILLIS, TimeUnit.MILLISECONDS);
            }
            case DATA_LOST -> then.accept(new DataLost(refusal.getMessage()));
            default -> then.accept(new Fenced(refusal.getMessage()));
        }
    }
}
