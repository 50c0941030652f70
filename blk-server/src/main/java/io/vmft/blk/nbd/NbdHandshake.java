package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.concurrent.Future;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdClientFlags;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdOption;
import io.vmft.proto.nbd.NbdOptionReply;
import io.vmft.proto.nbd.NbdServerDecoder;
import io.vmft.proto.nbd.NbdServerEncoder;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One connection's handshake phase; gives way to {@link NbdTransmission} when the client has chosen an export. Confined to its
 * event loop; questions to storage, which may wait for other connections' requests, are asked on other threads while the connection is not
 * read.
 */
final class NbdHandshake extends ChannelInboundHandlerAdapter {
    private static final int PREFERRED_BLOCK_BYTES = 4096;

    private final Exports exports;
    private final NbdLimits limits;
    private final StorageThreads threads;
    private final NbdServerDecoder decoder;
    private final CutLog cutLog;

    private final ClientIdentity client = ClientIdentity.UNKNOWN;
    private NbdClientFlags clientFlags = new NbdClientFlags(false, false);
    private NbdHeaders headers = NbdHeaders.SIMPLE;
    private int options;
    private @Nullable Future<?> deadline;

    NbdHandshake(Exports exports, NbdLimits limits, StorageThreads threads, NbdServerDecoder decoder, CutLog cutLog) {
        this.exports = exports;
        this.limits = limits;
        this.threads = threads;
        this.decoder = decoder;
        this.cutLog = cutLog;
    }

    /** What storage said to a client that wants an export. */
    private sealed interface Admission {
        record Granted(ExportView view) implements Admission {}

        record Refused(int replyType, String message) implements Admission {}
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) {
        ByteBuf greeting = ctx.alloc().directBuffer();
        NbdServerEncoder.greeting(greeting);
        send(ctx, greeting);
        deadline = ctx.executor()
                .schedule(
                        () -> cut(
                                ctx,
                                "no export chosen within " + limits.handshake().toMillis() + " ms"),
                        limits.handshake().toMillis(),
                        TimeUnit.MILLISECONDS);
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        stopDeadline();
        ctx.fireChannelInactive();
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        switch (message) {
            case NbdClientFlags flags -> clientFlags = flags;
            case NbdOption option -> option(ctx, option);
            default -> throw new IllegalStateException("not a handshake message: " + message);
        }
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
        if (event == NbdTransmission.Event.LEAVE) {
            close(ctx);
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }

    private void option(ChannelHandlerContext ctx, NbdOption option) {
        if (++options > limits.options()) {
            cut(ctx, "more than " + limits.options() + " options");
            return;
        }
        if (!clientFlags.fixedNewstyle() && !(option instanceof NbdOption.ExportName)) {
            cut(ctx, "option " + option.code() + " without fixed newstyle");
            return;
        }
        switch (option) {
            case NbdOption.ExportName(String name) -> admit(ctx, name, option);
            case NbdOption.Go(String name, List<Integer> _) -> admit(ctx, name, option);
            case NbdOption.Describe(String name, List<Integer> _) -> describe(ctx, name, option);
            case NbdOption.ListExports _ -> list(ctx);
            case NbdOption.StructuredReply _ -> {
                headers = NbdHeaders.STRUCTURED;
                reply(ctx, new NbdOptionReply.Ack(option.code()));
            }
            case NbdOption.Abort _ -> {
                reply(ctx, new NbdOptionReply.Ack(option.code()));
                close(ctx);
            }
            case NbdOption.StartTls _,
                    NbdOption.ExtendedHeaders _,
                    NbdOption.ListMetaContexts _,
                    NbdOption.SetMetaContexts _,
                    NbdOption.Unknown _ ->
                reply(
                        ctx,
                        new NbdOptionReply.Failure(option.code(), Nbd.REP_ERR_UNSUP, "this server does not know it"));
            case NbdOption.Malformed(int code, int replyType, String text) ->
                reply(ctx, new NbdOptionReply.Failure(code, replyType, text));
        }
    }

    /** The connection, as storage sees it. */
    private final class Owner implements ViewOwner {
        private final Channel channel;

        Owner(Channel channel) {
            this.channel = channel;
        }

        @Override
        public void revoked(String why) {
            if (channel.isOpen()) {
                cutLog.cut(channel, why);
            }
            var _ = channel.close();
        }

        @Override
        public boolean isGone() {
            return PeerEnd.isKnown(channel);
        }
    }

    /** Runs {@code question} on a thread of its own, then {@code then} here; in between nothing is read. */
    private <T> void ask(ChannelHandlerContext ctx, Supplier<T> question, Consumer<T> then) {
        decoder.pause();
        ctx.channel().config().setAutoRead(false);
        threads.questions().execute(() -> {
            try {
                T answer = question.get();
                ctx.executor().execute(() -> resume(ctx, then, answer));
            } catch (RuntimeException e) {
                ctx.channel().pipeline().fireExceptionCaught(e);
            }
        });
    }

    private <T> void resume(ChannelHandlerContext ctx, Consumer<T> then, T answer) {
        try {
            then.accept(answer);
            ctx.channel().config().setAutoRead(true);
            decoder.resume();
        } catch (RuntimeException e) {
            ctx.channel().pipeline().fireExceptionCaught(e);
        }
    }

    private void list(ChannelHandlerContext ctx) {
        ask(ctx, () -> exports.names(client), names -> {
            List<NbdOptionReply> replies = new ArrayList<>();
            names.forEach(name -> replies.add(new NbdOptionReply.Server(Nbd.OPT_LIST, name, "")));
            replies.add(new NbdOptionReply.Ack(Nbd.OPT_LIST));
            reply(ctx, replies);
        });
    }

    private void describe(ChannelHandlerContext ctx, String name, NbdOption option) {
        ask(
                ctx,
                () -> {
                    Admission admission = open(() -> exports.look(name, client));
                    if (!(admission instanceof Admission.Granted(ExportView view))) {
                        return List.of(failure(option, (Admission.Refused) admission));
                    }
                    try (view) {
                        return description(option, name, view);
                    }
                },
                replies -> reply(ctx, replies));
    }

    private void admit(ChannelHandlerContext ctx, String name, NbdOption option) {
        ViewOwner owner = new Owner(ctx.channel());
        ask(ctx, () -> open(() -> exports.open(name, client, owner)), admission -> {
            switch (admission) {
                case Admission.Refused refused
                when option instanceof NbdOption.ExportName -> cut(ctx, refused.message());
                case Admission.Refused refused -> reply(ctx, failure(option, refused));
                case Admission.Granted(ExportView view) -> start(ctx, name, option, view);
            }
        });
    }

    /** Asks storage for a view. */
    private interface Opening {
        ExportView open() throws ExportRefusedException;
    }

    private static Admission open(Opening opening) {
        try {
            return new Admission.Granted(opening.open());
        } catch (ExportRefusedException e) {
            int replyType = switch (e.reason()) {
                case UNKNOWN -> Nbd.REP_ERR_UNKNOWN;
                case POLICY -> Nbd.REP_ERR_POLICY;
                case SHUTDOWN -> Nbd.REP_ERR_SHUTDOWN;
            };
            return new Admission.Refused(replyType, String.valueOf(e.getMessage()));
        }
    }

    private static NbdOptionReply failure(NbdOption option, Admission.Refused refused) {
        return new NbdOptionReply.Failure(option.code(), refused.replyType(), refused.message());
    }

    private void start(ChannelHandlerContext ctx, String name, NbdOption option, ExportView view) {
        ViewLease lease = new ViewLease(view);
        if (!ctx.channel().isActive()) {
            threads.io().execute(lease::close);
            return;
        }
        stopDeadline();
        RequestExecutor requests = new RequestExecutor(name, lease, headers);
        ctx.pipeline()
                .addAfter(ctx.name(), null, new NbdTransmission(requests, lease, decoder, limits, threads))
                .remove(this);
        decoder.startTransmission(headers);
        if (option instanceof NbdOption.ExportName) {
            reply(ctx, new NbdOptionReply.ExportNameAnswer(view.sizeBytes(), flags(view), !clientFlags.noZeroes()));
        } else {
            reply(ctx, description(option, name, view));
        }
    }

    private List<NbdOptionReply> description(NbdOption option, String name, ExportView view) {
        int code = option.code();
        List<Integer> wanted = switch (option) {
            case NbdOption.Go(String _, List<Integer> requests) -> requests;
            case NbdOption.Describe(String _, List<Integer> requests) -> requests;
            default -> throw new IllegalArgumentException("not described: " + option);
        };
        List<NbdOptionReply> replies = new ArrayList<>();
        replies.add(new NbdOptionReply.Export(code, view.sizeBytes(), flags(view)));
        if (wanted.contains(Nbd.INFO_NAME)) {
            replies.add(new NbdOptionReply.Name(code, name));
        }
        if (wanted.contains(Nbd.INFO_DESCRIPTION)) {
            replies.add(new NbdOptionReply.Description(code, view.description()));
        }
        if (wanted.contains(Nbd.INFO_BLOCK_SIZE)) {
            replies.add(new NbdOptionReply.BlockSize(code, 1, PREFERRED_BLOCK_BYTES, Nbd.MAX_PAYLOAD_BYTES));
        }
        replies.add(new NbdOptionReply.Ack(code));
        return replies;
    }

    private int flags(ExportView view) {
        int flags = Nbd.FLAG_HAS_FLAGS
                | Nbd.FLAG_SEND_FLUSH
                | Nbd.FLAG_SEND_FUA
                | Nbd.FLAG_SEND_TRIM
                | Nbd.FLAG_SEND_WRITE_ZEROES;
        if (view.multiConn()) {
            flags |= Nbd.FLAG_CAN_MULTI_CONN; // a flush covers the writes of every connection: the view's contract
        }
        return flags | (headers.chunked() ? Nbd.FLAG_SEND_DF : 0) | (view.readOnly() ? Nbd.FLAG_READ_ONLY : 0);
    }

    private void reply(ChannelHandlerContext ctx, NbdOptionReply reply) {
        reply(ctx, List.of(reply));
    }

    private void reply(ChannelHandlerContext ctx, List<NbdOptionReply> replies) {
        ByteBuf out = ctx.alloc().directBuffer();
        replies.forEach(reply -> NbdServerEncoder.optionReply(out, reply));
        send(ctx, out);
    }

    private static void send(ChannelHandlerContext ctx, ByteBuf out) {
        var _ = ctx.channel().writeAndFlush(out, ctx.voidPromise());
    }

    private void cut(ChannelHandlerContext ctx, String why) {
        cutLog.cut(ctx.channel(), why);
        close(ctx);
    }

    private void close(ChannelHandlerContext ctx) {
        decoder.end();
        var _ = ctx.channel().close();
    }

    private void stopDeadline() {
        if (deadline != null) {
            deadline.cancel(false);
        }
    }
}
