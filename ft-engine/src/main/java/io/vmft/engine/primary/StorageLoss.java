package io.vmft.engine.primary;

import io.vmft.engine.EngineContext;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.Mode;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What becomes of a VM whose storage host lost data, after its QEMU was ended here: a backup may take it over at the committed
 * epoch; when none does in time, or there is none, it is to be booted from the disk as it stands. Who comes second, Open or TakeOver, is
 * refused by the arbiter. See {@code docs/decisions/storage-power-loss.md}. On the engine's loop only.
 */
final class StorageLoss {
    sealed interface Outcome {}

    /** Another host has the VM. */
    record TakenOver(ArbiterRecord record) implements Outcome {}

    /** Nobody took it. */
    record BootAgain() implements Outcome {}

    private static final Logger log = LoggerFactory.getLogger(StorageLoss.class);
    private static final Duration BEYOND_SUSPICION = Duration.ofSeconds(10);
    private static final long LOOK_MILLIS = 100;

    private final EngineContext context;
    private final Consumer<Outcome> then;
    private long deadlineNanos;

    StorageLoss(EngineContext context, Consumer<Outcome> then) {
        this.context = context;
        this.then = then;
    }

    /** Nothing of the VM runs here any more and the backup, if there is one, was let go. */
    void begin() {
        deadlineNanos = System.nanoTime()
                + context.config()
                        .protection()
                        .failureTimeout()
                        .plus(BEYOND_SUSPICION)
                        .toNanos();
        look();
    }

    private void look() {
        context.control().get(context.vm()).whenCompleteAsync(this::saw, context.loop());
    }

    private void saw(@Nullable ArbiterReply reply, @Nullable Throwable failure) {
        if (reply == null) {
            log.error("{}: the block server does not say who has the VM: {}", context.vm(), String.valueOf(failure));
            context.loop().schedule(this::look, LOOK_MILLIS, TimeUnit.MILLISECONDS);
            return;
        }
        ArbiterRecord record = reply.getRecord();
        if (!record.getPrimary().equals(context.host())) {
            then.accept(new TakenOver(record));
        } else if (record.getMode() == Mode.PROTECTED && System.nanoTime() - deadlineNanos < 0) {
            context.loop().schedule(this::look, LOOK_MILLIS, TimeUnit.MILLISECONDS);
        } else {
            log.warn(
                    "{}: {}: RESTARTING the guest from its disk, as after a power failure",
                    context.vm(),
                    record.getMode() == Mode.PROTECTED
                            ? "backup " + record.getBackup() + " did not take over"
                            : "it had no backup");
            then.accept(new BootAgain());
        }
    }
}
