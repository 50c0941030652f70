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
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * One connection's handshake phase; gives way to {@link NbdTransmission} when the client has chosen an export. Confined to its
 * event loop; questions to storage, which may wait for other connections' requests, are asked on other threads while the connection is not
 * read.
 */
final class NbdHandshake extends ChannelInboundHandlerAdapter {
    private final Exports exports;
    private final NbdLimits limits;
    private final MemoryShare memory;
    private final StorageThreads threads;
    private final NbdServerDecoder decoder;
    private final CutLog cutLog;

    private final ClientIdentity client = ClientIdentity.UNKNOWN;
    private NbdClientFlags clientFlags = new NbdClientFlags(false, false);
    private NbdHeaders headers = NbdHeaders.SIMPLE;
    private MetaContexts metaContexts = MetaContexts.NONE;
    private int options;
    private @Nullable Future<?> deadline;

    NbdHandshake(
            Exports exports,
            NbdLimits limits,
            MemoryShare memory,
            StorageThreads threads,
            NbdServerDecoder decoder,
            CutLog cutLog) {
        this.exports = exports;
        this.limits = limits;
        this.memory = memory;
        this.threads = threads;
        this.decoder = decoder;
        this.cutLog = cutLog;
    }

    /** What storage said to a client that wants an export. */
    private sealed interface Admission {
        record Granted(ExportView view) implements Admission {}

        record Refused(int replyType, String message) implements Admission {}
    }

    /** What an export answered, or why it may not be looked at. */
    private record Looked<T>(@Nullable T found, Admission.@Nullable Refused refused) {}

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
            case NbdOption.ExportName _
            when headers == NbdHeaders.EXTENDED -> cut(ctx, "an export chosen by name alone after extended headers");
            case NbdOption.ExportName(String name) -> admit(ctx, name, option);
            case NbdOption.Go(String name, List<Integer> _) -> admit(ctx, name, option);
            case NbdOption.Describe(String name, List<Integer> wanted) ->
                describe(ctx, option, name, view -> ExportInfo.replies(option.code(), name, wanted, view, headers));
            case NbdOption.ListExports _ -> list(ctx);
            case NbdOption.StructuredReply _
            when headers == NbdHeaders.EXTENDED ->
                refuse(ctx, option, Nbd.REP_ERR_EXT_HEADER_REQD, "extended headers were chosen before");
            case NbdOption.StructuredReply _ -> choose(ctx, option, NbdHeaders.STRUCTURED);
            case NbdOption.ExtendedHeaders _ -> choose(ctx, option, NbdHeaders.EXTENDED);
            case NbdOption.ListMetaContexts(String name, List<String> queries) ->
                ifChunked(ctx, option, () -> describe(ctx, option, name, view -> MetaContexts.list(view, queries)));
            case NbdOption.SetMetaContexts(String name, List<String> queries) -> {
                metaContexts = MetaContexts.NONE; // whatever becomes of this one
                ifChunked(ctx, option, () -> chooseContexts(ctx, option, name, queries));
            }
            case NbdOption.Abort _ -> {
                reply(ctx, new NbdOptionReply.Ack(option.code()));
                close(ctx);
            }
            case NbdOption.StartTls _, NbdOption.Unknown _ ->
                refuse(ctx, option, Nbd.REP_ERR_UNSUP, "this server does not know it");
            case NbdOption.Malformed(int code, int replyType, String text) -> {
                if (code == Nbd.OPT_SET_META_CONTEXT) {
                    metaContexts = MetaContexts.NONE;
                }
                refuse(ctx, option, replyType, text);
            }
        }
    }

    private void choose(ChannelHandlerContext ctx, NbdOption option, NbdHeaders chosen) {
        headers = chosen;
        reply(ctx, new NbdOptionReply.Ack(option.code()));
    }

    private void ifChunked(ChannelHandlerContext ctx, NbdOption option, Runnable then) {
        if (headers.chunked()) {
            then.run();
        } else {
            refuse(ctx, option, Nbd.REP_ERR_INVALID, "metadata contexts need structured replies or extended headers");
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

    /** Answers with what {@code question} finds in the export, if there is one. */
    private void describe(
            ChannelHandlerContext ctx,
            NbdOption option,
            String name,
            Function<ExportView, List<NbdOptionReply>> question) {
        look(ctx, option, name, question, replies -> reply(ctx, replies));
    }

    private void chooseContexts(ChannelHandlerContext ctx, NbdOption option, String name, List<String> queries) {
        look(ctx, option, name, view -> MetaContexts.choose(name, view, queries), chosen -> {
            if (chosen.tooMany()) {
                refuse(ctx, option, Nbd.REP_ERR_TOO_BIG, "too many metadata contexts");
            } else {
                metaContexts = chosen;
                reply(ctx, chosen.chosen());
            }
        });
    }

    /** Asks an export something without entering it; the client is told if it may not be looked at. */
    private <T> void look(
            ChannelHandlerContext ctx,
            NbdOption option,
            String name,
            Function<ExportView, T> question,
            Consumer<T> then) {
        ask(
                ctx,
                () -> {
                    Admission admission = open(() -> exports.look(name, client));
                    if (admission instanceof Admission.Granted(ExportView view)) {
                        try (view) {
                            return new Looked<T>(question.apply(view), null);
                        }
                    }
                    return new Looked<T>(null, (Admission.Refused) admission);
                },
                looked -> {
                    if (looked.refused() != null) {
                        refuse(ctx, option, looked.refused());
                    } else {
                        then.accept(Objects.requireNonNull(looked.found()));
                    }
                });
    }

    private void admit(ChannelHandlerContext ctx, String name, NbdOption option) {
        ViewOwner owner = new Owner(ctx.channel());
        ask(ctx, () -> open(() -> exports.open(name, client, owner)), admission -> {
            switch (admission) {
                case Admission.Refused refused
                when option instanceof NbdOption.ExportName -> cut(ctx, refused.message());
                case Admission.Refused refused -> refuse(ctx, option, refused);
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

    private void refuse(ChannelHandlerContext ctx, NbdOption option, Admission.Refused refused) {
        refuse(ctx, option, refused.replyType(), refused.message());
    }

    private void refuse(ChannelHandlerContext ctx, NbdOption option, int replyType, String message) {
        reply(ctx, new NbdOptionReply.Failure(option.code(), replyType, message));
    }

    private void start(ChannelHandlerContext ctx, String name, NbdOption option, ExportView view) {
        ViewLease lease = new ViewLease(view);
        if (!ctx.channel().isActive()) {
            threads.io().execute(lease::close);
            return;
        }
        stopDeadline();
        StatusReply status = new StatusReply(headers, metaContexts.of(name), limits.extents());
        RequestExecutor requests = new RequestExecutor(name, lease, headers, status);
        ctx.pipeline()
                .addAfter(ctx.name(), null, new NbdTransmission(requests, lease, decoder, limits, memory, threads))
                .remove(this);
        decoder.startTransmission(headers);
        if (option instanceof NbdOption.Go(String _, List<Integer> wanted)) {
            reply(ctx, ExportInfo.replies(option.code(), name, wanted, view, headers));
        } else {
            int flags = ExportInfo.flags(view, headers);
            reply(ctx, new NbdOptionReply.ExportNameAnswer(view.sizeBytes(), flags, !clientFlags.noZeroes()));
        }
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
