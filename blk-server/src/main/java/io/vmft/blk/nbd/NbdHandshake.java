package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.concurrent.Future;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import io.vmft.blk.tls.CertificateName;
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
import java.util.function.Function;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSession;
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
    private final Questions questions;
    private final CutLog cutLog;

    private final @Nullable Tls tls;

    private ClientIdentity client = ClientIdentity.UNKNOWN;
    private boolean encrypted;
    private NbdClientFlags clientFlags = new NbdClientFlags(false, false);
    private NbdHeaders headers = NbdHeaders.SIMPLE;
    private MetaContexts metaContexts = MetaContexts.NONE;
    private int options;
    private @Nullable Future<?> deadline;

    /**
     * Begins with the connection.
     *
     * @param tls null: there is none
     */
    NbdHandshake(
            Exports exports,
            NbdLimits limits,
            MemoryShare memory,
            StorageThreads threads,
            @Nullable Tls tls,
            NbdServerDecoder decoder,
            CutLog cutLog) {
        this.exports = exports;
        this.limits = limits;
        this.memory = memory;
        this.threads = threads;
        this.tls = tls;
        this.decoder = decoder;
        this.questions = new Questions(threads.waiting(), decoder);
        this.cutLog = cutLog;
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
        } else if (event instanceof SslHandshakeCompletionEvent completed) {
            secured(ctx, completed);
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
        if (tls != null && tls.required() && !encrypted && !isAllowedInPlainText(option)) {
            refuseInPlainText(ctx, option);
            return;
        }
        switch (option) {
            case NbdOption.StartTls _ -> startTls(ctx, option);
            case NbdOption.ExportName _
            when headers == NbdHeaders.EXTENDED -> cut(ctx, "an export chosen by name alone after extended headers");
            case NbdOption.ExportName(String name) -> admit(ctx, name, option);
            case NbdOption.Go(String name, List<Integer> _) -> admit(ctx, name, option);
            case NbdOption.Describe(String name, List<Integer> wanted) ->
                describe(ctx, option, name, view -> ExportInfo.replies(option.code(), name, wanted, view, headers));
            case NbdOption.ListExports _ -> list(ctx, option);
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
            case NbdOption.Unknown _ -> refuse(ctx, option, Nbd.REP_ERR_UNSUP, "this server does not know it");
            case NbdOption.Malformed(int code, int replyType, String text) -> {
                if (code == Nbd.OPT_SET_META_CONTEXT) {
                    metaContexts = MetaContexts.NONE;
                }
                refuse(ctx, option, replyType, text);
            }
        }
    }

    /** Of a server that demands TLS: the specification's mode FORCEDTLS. */
    private static boolean isAllowedInPlainText(NbdOption option) {
        return option instanceof NbdOption.Abort || option.code() == Nbd.OPT_STARTTLS;
    }

    private void refuseInPlainText(ChannelHandlerContext ctx, NbdOption option) {
        if (option instanceof NbdOption.ExportName) {
            cut(ctx, "an export chosen without TLS, which this server demands");
        } else {
            refuse(ctx, option, Nbd.REP_ERR_TLS_REQD, "this server demands TLS");
        }
    }

    private void startTls(ChannelHandlerContext ctx, NbdOption option) {
        if (tls == null) {
            refuse(ctx, option, Nbd.REP_ERR_UNSUP, "this server has no TLS");
        } else if (encrypted) {
            refuse(ctx, option, Nbd.REP_ERR_INVALID, "TLS has begun already");
        } else {
            ask(ctx, option, tls::upgrade, upgrade -> {
                decoder.startTls();
                // What was said in plain text may have been said by anybody.
                headers = NbdHeaders.SIMPLE;
                metaContexts = MetaContexts.NONE;
                encrypted = true;
                reply(ctx, new NbdOptionReply.Ack(option.code()));
                ctx.pipeline().addFirst(upgrade.newHandler(ctx.alloc(), limits.handshake()));
            });
        }
    }

    private void secured(ChannelHandlerContext ctx, SslHandshakeCompletionEvent completed) {
        if (completed.isSuccess()) {
            SSLSession session = ctx.pipeline().get(SslHandler.class).engine().getSession();
            client = new ClientIdentity(CertificateName.ofPeer(session));
        } else if (completed.cause() instanceof SSLException failure) {
            cut(ctx, "TLS failed: " + Tls.reason(failure));
        } // otherwise the connection ended meanwhile
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

    /** Asks storage; the client is told if it refuses. */
    private <T> void ask(
            ChannelHandlerContext ctx, NbdOption option, Questions.Question<T> question, Consumer<T> then) {
        questions.ask(ctx, question, then, refusal -> refuse(ctx, option, refusal));
    }

    private void list(ChannelHandlerContext ctx, NbdOption option) {
        ask(ctx, option, () -> exports.names(client), names -> {
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

    /** Asks an export something without entering it. */
    private <T> void look(
            ChannelHandlerContext ctx,
            NbdOption option,
            String name,
            Function<ExportView, T> question,
            Consumer<T> then) {
        ask(
                ctx,
                option,
                () -> {
                    try (ExportView view = exports.look(name, client)) {
                        return question.apply(view);
                    }
                },
                then);
    }

    private void admit(ChannelHandlerContext ctx, String name, NbdOption option) {
        ViewOwner owner = new Owner(ctx.channel());
        ask(ctx, option, () -> exports.open(name, client, owner), view -> start(ctx, name, option, view));
    }

    private void refuse(ChannelHandlerContext ctx, NbdOption option, ExportRefusedException refusal) {
        String message = String.valueOf(refusal.getMessage());
        if (option instanceof NbdOption.ExportName) {
            cut(ctx, message);
            return;
        }
        int replyType = switch (refusal.reason()) {
            case UNKNOWN -> Nbd.REP_ERR_UNKNOWN;
            case POLICY -> Nbd.REP_ERR_POLICY;
            case CERTIFICATE -> tls == null || encrypted ? Nbd.REP_ERR_POLICY : Nbd.REP_ERR_TLS_REQD;
            case SHUTDOWN -> Nbd.REP_ERR_SHUTDOWN;
        };
        refuse(ctx, option, replyType, message);
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
