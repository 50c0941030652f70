package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslHandler;
import io.netty.handler.ssl.SslHandshakeCompletionEvent;
import io.netty.util.concurrent.Future;
import io.vmft.nbd.client.tls.ClientTls;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdClientDecoder;
import io.vmft.proto.nbd.NbdClientEncoder;
import io.vmft.proto.nbd.NbdClientFlags;
import io.vmft.proto.nbd.NbdGreeting;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdOption;
import io.vmft.proto.nbd.NbdOptionReply;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * The handshake of one connection. Asks for the best there is and takes what the server has:
 *
 * <pre>
 *   greeting ─▶ [STARTTLS ─▶ TLS] ─▶ LIST, or
 *               EXTENDED_HEADERS ─▶ or STRUCTURED_REPLY ─▶ [contexts] ─▶ GO or INFO ─▶ or EXPORT_NAME
 * </pre>
 *
 * Confined to its event loop; the goal's futures complete there.
 */
final class ClientHandshake extends ChannelInboundHandlerAdapter {
    static final Duration DEADLINE = Duration.ofSeconds(10);

    /** More exports, or contexts of one, than any client could show. */
    private static final int MAX_LISTED = 100_000;

    private final NbdUri uri;
    private final HandshakeGoal goal;
    private final NbdClientDecoder decoder;
    private final @Nullable SslContext tls;

    private final List<String> names = new ArrayList<>();
    private final ExportDraft draft = new ExportDraft();
    private NbdGreeting greeting = new NbdGreeting(false, false);
    private boolean greeted;
    private ConnectOptions.@Nullable Session session;
    private @Nullable Future<?> deadline;

    /** @param tls null: in plain text */
    ClientHandshake(NbdUri uri, HandshakeGoal goal, NbdClientDecoder decoder, @Nullable SslContext tls) {
        this.uri = uri;
        this.goal = goal;
        this.decoder = decoder;
        this.tls = tls;
        this.session = goal instanceof HandshakeGoal.Open open ? open.options().session() : null;
    }

    @Override
    public void channelActive(ChannelHandlerContext ctx) {
        deadline = ctx.executor()
                .schedule(
                        () -> fail(
                                ctx,
                                new IOException(
                                        "no answer within " + DEADLINE.toSeconds() + " s", new TimeoutException())),
                        DEADLINE.toMillis(),
                        TimeUnit.MILLISECONDS);
        ctx.fireChannelActive();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        fail(
                ctx,
                !greeted || greeting.fixedNewstyle()
                        ? new IOException("the server closed the connection in the handshake")
                        : new NbdRefusedException(0, "the server closed the connection; it may not have this export"));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        Throwable reason = cause.getCause() != null && cause instanceof io.netty.handler.codec.DecoderException
                ? cause.getCause()
                : cause;
        fail(ctx, reason instanceof IOException io ? io : new IOException(reason.getMessage(), reason));
    }

    private void fail(ChannelHandlerContext ctx, IOException cause) {
        stopDeadline();
        goal.fail(cause);
        var _ = ctx.channel().close();
    }

    private void stopDeadline() {
        if (deadline != null) {
            deadline.cancel(false);
        }
    }

    // --- the greeting and TLS ---

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        switch (message) {
            case NbdGreeting received -> greeted(ctx, received);
            case NbdOptionReply reply -> reply(ctx, reply);
            default -> throw new IllegalStateException("not a handshake message: " + message);
        }
    }

    private void greeted(ChannelHandlerContext ctx, NbdGreeting received) {
        greeting = received;
        greeted = true;
        ByteBuf out = ctx.alloc().buffer();
        NbdClientEncoder.clientFlags(out, new NbdClientFlags(received.fixedNewstyle(), received.noZeroes()));
        var _ = ctx.write(out);
        if (received.fixedNewstyle()) {
            if (tls == null) {
                begin(ctx);
            } else {
                send(ctx, new NbdOption.StartTls());
            }
        } else if (tls != null || !(goal instanceof HandshakeGoal.Open)) {
            fail(
                    ctx,
                    new NbdRefusedException(
                            Nbd.REP_ERR_UNSUP, "the server is too old for this; it only opens exports"));
        } else {
            chooseByName(ctx);
        }
    }

    private void startTls(ChannelHandlerContext ctx, SslContext context) {
        decoder.startTls();
        String host = uri.addresses().getFirst() instanceof NbdAddress.Tcp tcp ? tcp.host() : null;
        int port = uri.addresses().getFirst() instanceof NbdAddress.Tcp tcp ? tcp.port() : -1;
        String name = uri.tls() == null ? "localhost" : ClientTls.serverName(uri.tls(), host);
        SslHandler handler = context.newHandler(ctx.alloc(), name, port);
        handler.setHandshakeTimeoutMillis(DEADLINE.toMillis());
        ctx.pipeline().addFirst(handler, new CloseAtTlsEnd());
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
        if (event instanceof SslHandshakeCompletionEvent completion) {
            if (completion.isSuccess()) {
                draft.encrypted = true;
                begin(ctx);
            } else {
                Throwable cause = rootOf(completion.cause());
                fail(ctx, new NbdTlsException("TLS failed: " + cause.getMessage(), cause));
            }
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }

    /** The JDK wraps what is wrong with a certificate several times. */
    private static Throwable rootOf(Throwable failure) {
        Throwable root = failure;
        for (int depth = 0; root.getCause() != null && depth < 8; depth++) {
            root = root.getCause();
        }
        return root;
    }

    // --- options ---

    private void begin(ChannelHandlerContext ctx) {
        send(
                ctx,
                goal instanceof HandshakeGoal.ListNames
                        ? new NbdOption.ListExports()
                        : new NbdOption.ExtendedHeaders());
    }

    private void send(ChannelHandlerContext ctx, NbdOption option) {
        ByteBuf out = ctx.alloc().buffer();
        NbdClientEncoder.option(out, option);
        var _ = ctx.writeAndFlush(out);
    }

    private String exportName() {
        return session == null ? uri.exportName() : session.of(uri.exportName());
    }

    private void askForContexts(ChannelHandlerContext ctx) {
        switch (goal) {
            case HandshakeGoal.Open(ConnectOptions options, var _)
            when draft.headers.chunked() && !options.contexts().isEmpty() ->
                send(ctx, new NbdOption.SetMetaContexts(exportName(), options.contexts()));
            case HandshakeGoal.Describe _
            when draft.headers.chunked() -> send(ctx, new NbdOption.ListMetaContexts(exportName(), List.of()));
            case HandshakeGoal.Open _, HandshakeGoal.Describe _, HandshakeGoal.ListNames _ -> choose(ctx);
        }
    }

    private void choose(ChannelHandlerContext ctx) {
        List<Integer> information = List.of(Nbd.INFO_DESCRIPTION, Nbd.INFO_BLOCK_SIZE);
        send(
                ctx,
                goal instanceof HandshakeGoal.Open
                        ? new NbdOption.Go(exportName(), information)
                        : new NbdOption.Describe(exportName(), information));
    }

    /** The old way, for servers without {@code OPT_GO}: a name they do not know ends the connection. */
    private void chooseByName(ChannelHandlerContext ctx) {
        session = null;
        decoder.expectExportNameAnswer(!greeting.noZeroes());
        send(ctx, new NbdOption.ExportName(exportName()));
    }

    private void reply(ChannelHandlerContext ctx, NbdOptionReply reply) {
        switch (reply) {
            case NbdOptionReply.Ack(int option) -> acknowledged(ctx, option);
            case NbdOptionReply.Server(int _, String name, String _) -> {
                if (names.size() == MAX_LISTED) {
                    fail(ctx, new IOException("the server lists more than " + MAX_LISTED + " exports"));
                } else {
                    names.add(name);
                }
            }
            case NbdOptionReply.MetaContext(int _, int id, String name) -> {
                if (draft.contexts.size() == Nbd.MAX_QUERIES) {
                    fail(ctx, new IOException("the server has more than " + Nbd.MAX_QUERIES + " metadata contexts"));
                } else {
                    draft.context(id, name, goal instanceof HandshakeGoal.Open);
                }
            }
            case NbdOptionReply.Failure failure -> failed(ctx, failure);
            case NbdOptionReply.ExportNameAnswer(long size, int transmissionFlags, boolean _) -> {
                draft.sizeBytes = size;
                draft.flags = transmissionFlags;
                finish(ctx);
            }
            case NbdOptionReply.Export _,
                    NbdOptionReply.Description _,
                    NbdOptionReply.BlockSize _,
                    NbdOptionReply.Name _,
                    NbdOptionReply.Unknown _ -> draft.take(reply);
        }
    }

    private void acknowledged(ChannelHandlerContext ctx, int option) {
        if (option == Nbd.OPT_STARTTLS && tls != null && !draft.encrypted) {
            startTls(ctx, tls);
            return;
        }
        switch (option) {
            case Nbd.OPT_EXTENDED_HEADERS -> {
                draft.headers = NbdHeaders.EXTENDED;
                askForContexts(ctx);
            }
            case Nbd.OPT_STRUCTURED_REPLY -> {
                draft.headers = NbdHeaders.STRUCTURED;
                askForContexts(ctx);
            }
            case Nbd.OPT_SET_META_CONTEXT, Nbd.OPT_LIST_META_CONTEXT -> choose(ctx);
            case Nbd.OPT_LIST, Nbd.OPT_INFO, Nbd.OPT_GO -> finish(ctx);
            default -> fail(ctx, new IOException("the server acknowledged option " + option + ", which was not asked"));
        }
    }

    private void failed(ChannelHandlerContext ctx, NbdOptionReply.Failure failure) {
        boolean unknown = failure.replyType() == Nbd.REP_ERR_UNKNOWN;
        switch (failure.option()) {
            case Nbd.OPT_EXTENDED_HEADERS -> orRefuse(ctx, failure, () -> send(ctx, new NbdOption.StructuredReply()));
            case Nbd.OPT_STRUCTURED_REPLY -> orRefuse(ctx, failure, () -> askForContexts(ctx));
            case Nbd.OPT_SET_META_CONTEXT, Nbd.OPT_LIST_META_CONTEXT -> {
                draft.contexts.clear();
                if (unknown && session != null) {
                    leaveSessionOut(ctx);
                } else {
                    choose(ctx); // if the export is what is wrong, that will tell
                }
            }
            case Nbd.OPT_GO -> {
                if (unknown && session != null) {
                    leaveSessionOut(ctx);
                } else if (failure.replyType() == Nbd.REP_ERR_UNSUP) {
                    chooseByName(ctx);
                } else {
                    refuse(ctx, failure);
                }
            }
            default -> refuse(ctx, failure);
        }
    }

    /** A server that knows no sessions takes them for a part of the name. */
    private void leaveSessionOut(ChannelHandlerContext ctx) {
        session = null;
        draft.contexts.clear();
        askForContexts(ctx);
    }

    /** Goes on without what the server does not have, unless it wants TLS first. */
    private void orRefuse(ChannelHandlerContext ctx, NbdOptionReply.Failure failure, Runnable goOn) {
        if (failure.replyType() == Nbd.REP_ERR_TLS_REQD) {
            refuse(ctx, failure);
        } else {
            goOn.run();
        }
    }

    private void refuse(ChannelHandlerContext ctx, NbdOptionReply.Failure failure) {
        fail(ctx, new NbdRefusedException(failure.replyType(), reason(failure)));
    }

    private static String reason(NbdOptionReply.Failure failure) {
        if (failure.replyType() == Nbd.REP_ERR_TLS_REQD) {
            return "the server demands TLS; write nbds:// and name the folder with tls-certificates=";
        }
        if (failure.option() == Nbd.OPT_STARTTLS) {
            return "the server has no TLS";
        }
        if (!failure.message().isEmpty()) {
            return failure.message().lines().findFirst().orElse("");
        }
        return switch (failure.replyType()) {
            case Nbd.REP_ERR_UNKNOWN -> "the server has no such export";
            case Nbd.REP_ERR_POLICY -> "the server's policy forbids it";
            case Nbd.REP_ERR_SHUTDOWN -> "the server is closing";
            default ->
                "the server refused option " + failure.option() + " with error "
                        + Integer.toUnsignedString(failure.replyType() & 0x7fff_ffff);
        };
    }

    private void finish(ChannelHandlerContext ctx) {
        stopDeadline();
        if (goal instanceof HandshakeGoal.ListNames list) {
            list.names().complete(List.copyOf(names));
            leave(ctx);
            return;
        }
        if (draft.sizeBytes < 0) {
            fail(ctx, new IOException("the server gave no size for the export, or one beyond 8 EiB"));
            return;
        }
        switch (goal) {
            case HandshakeGoal.Describe describe -> {
                describe.export().complete(draft.export(uri.exportName()));
                leave(ctx);
            }
            case HandshakeGoal.Open open -> {
                ctx.pipeline().remove(this);
                open.opened()
                        .complete(new HandshakeGoal.Opened(
                                ctx.channel(), draft.export(uri.exportName()), draft.contexts));
            }
            case HandshakeGoal.ListNames _ -> throw new AssertionError("done above");
        }
    }

    private void leave(ChannelHandlerContext ctx) {
        send(ctx, new NbdOption.Abort());
        var _ = ctx.channel().close();
    }
}
