package io.vmft.blk.nbd;

import io.netty.channel.ChannelHandlerContext;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.util.concurrent.Executor;
import java.util.function.Consumer;

/**
 * Asks storage in the handshake of one connection, on other threads because it may take long; while it does, nothing of the connection is
 * read or decoded. Confined to its event loop.
 */
final class Questions {
    private final Executor threads;
    private final NbdServerDecoder decoder;

    Questions(Executor threads, NbdServerDecoder decoder) {
        this.threads = threads;
        this.decoder = decoder;
    }

    /** Blocks; runs on a thread of its own. */
    @FunctionalInterface
    interface Question<T> {
        T ask() throws ExportRefusedException;
    }

    /** Asks; then either {@code answered} or {@code refused} is called here. A defect of storage is the pipeline's to handle. */
    <T> void ask(
            ChannelHandlerContext ctx,
            Question<T> question,
            Consumer<T> answered,
            Consumer<ExportRefusedException> refused) {
        decoder.pause();
        ctx.channel().config().setAutoRead(false);
        threads.execute(() -> {
            try {
                T answer = question.ask();
                ctx.executor().execute(() -> resume(ctx, () -> answered.accept(answer)));
            } catch (ExportRefusedException e) {
                ctx.executor().execute(() -> resume(ctx, () -> refused.accept(e)));
            } catch (RuntimeException e) {
                ctx.channel().pipeline().fireExceptionCaught(e);
            }
        });
    }

    private void resume(ChannelHandlerContext ctx, Runnable then) {
        try {
            then.run();
            ctx.channel().config().setAutoRead(true);
            decoder.resume();
        } catch (RuntimeException e) {
            ctx.channel().pipeline().fireExceptionCaught(e);
        }
    }
}
