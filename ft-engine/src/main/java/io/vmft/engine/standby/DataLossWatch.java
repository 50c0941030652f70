package io.vmft.engine.standby;

import io.vmft.engine.EngineContext;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.Mode;
import java.util.concurrent.TimeUnit;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Asks the block server once a second whether the VM's data is still there: a primary's guest cannot go on after its storage host lost
 * data, its backup can, from the epoch that stands ({@code docs/decisions/storage-power-loss.md}). Also keeps the way to the block
 * server open, so that a takeover need not.
 *
 * <p>Runs as long as {@link StandbySession} holds the VM for a primary, and is closed by it. On the engine's loop only.
 */
final class DataLossWatch implements AutoCloseable {
    private static final long LOOK_MILLIS = 1000;

    private final EngineContext context;
    private final long generation;
    private final LongConsumer lost;
    private boolean closed;

    /**
     * @param generation under which the VM is protected here
     * @param lost told, at each look, the committed epoch, which stands
     */
    DataLossWatch(EngineContext context, long generation, LongConsumer lost) {
        this.context = context;
        this.generation = generation;
        this.lost = lost;
    }

    /** Looks now, and then once a second. */
    void look() {
        if (!closed) {
            context.control().get(context.vm()).whenCompleteAsync(this::saw, context.loop());
        }
    }

    private void saw(@Nullable ArbiterReply reply, @Nullable Throwable failure) {
        if (closed) {
            return;
        }
        if (reply != null && isLost(reply.getRecord())) {
            lost.accept(reply.getRecord().getCommittedEpoch());
        }
        context.loop().schedule(this::look, LOOK_MILLIS, TimeUnit.MILLISECONDS);
    }

    private boolean isLost(ArbiterRecord record) {
        return record.getDataLost() && record.getMode() == Mode.PROTECTED && record.getGeneration() == generation;
    }

    @Override
    public void close() {
        closed = true;
    }
}
