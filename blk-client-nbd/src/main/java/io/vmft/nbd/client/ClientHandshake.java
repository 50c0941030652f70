package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.concurrent.Future;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdClientDecoder;
import io.vmft.proto.nbd.NbdClientEncoder;
import io.vmft.proto.nbd.NbdClientFlags;
import io.vmft.proto.nbd.NbdGreeting;
import io.vmft.proto.nbd.NbdOption;
import io.vmft.proto.nbd.NbdOptionReply;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * The handshake of one connection: structured replies if the server has them, then either the list of exports or one export. Confined
 * to its event loop; the futures complete there.
 */
final class ClientHandshake extends ChannelInboundHandlerAdapter {
    static final Duration DEADLINE = Duration.ofSeconds(10);

    /** More exports than any client could show. */
    private static final int MAX_LISTED = 100_000;

    private final NbdUri uri;
    private final NbdClientDecoder decoder;
    private final CompletableFuture<NbdExport> export;
    private final @Nullable CompletableFuture<List<String>> list;

    private final List<String> names = new ArrayList<>();
    private NbdGreeting greeting = new NbdGreeting(false, false);
    private boolean structured;
    private long sizeBytes = -1;
    private int flags;
    private int preferredBlockBytes = 4096;
    private int maximumPayloadBytes = Nbd.MAX_PAYLOAD_BYTES;
    private String description = "";
    private @Nullable Future<?> deadline;

    /**
     * Begins with the connection.
     *
     * @param export completed when the transmission phase begins, before anything of it is decoded
     * @param list if not null, only the list is asked for and {@code export} stays open
     */
    ClientHandshake(
            NbdUri uri,
            NbdClientDecoder decoder,
            CompletableFuture<NbdExport> export,
            @Nullable CompletableFuture<List<String>> list) {
        this.uri = uri;
        this.decoder = decoder;
        this.export = export;
        this.list = list;
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
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        fail(
                ctx,
                greeting.fixedNewstyle()
                        ? new IOException("the server closed the connection in the handshake")
                        : new NbdRefusedException(0, "the server closed the connection; it may not have this export"));
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        fail(ctx, cause instanceof IOException io ? io : new IOException(cause.getMessage(), cause));
    }

    private void fail(ChannelHandlerContext ctx, IOException cause) {
        stopDeadline();
        export.completeExceptionally(cause);
        if (list != null) {
            list.completeExceptionally(cause);
        }
        var _ = ctx.channel().close();
    }

    private void stopDeadline() {
        if (deadline != null) {
            deadline.cancel(false);
        }
    }

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
        ByteBuf out = ctx.alloc().buffer();
        NbdClientEncoder.clientFlags(out, new NbdClientFlags(received.fixedNewstyle(), received.noZeroes()));
        if (!received.fixedNewstyle()) {
            if (list == null) {
                chooseByName(ctx, out);
            } else {
                out.release();
                fail(ctx, new NbdRefusedException(Nbd.REP_ERR_UNSUP, "the server is too old to list its exports"));
            }
            return;
        }
        NbdClientEncoder.option(out, list == null ? new NbdOption.StructuredReply() : new NbdOption.ListExports());
        var _ = ctx.writeAndFlush(out);
    }

    /** The old way, for servers without {@code OPT_GO}. */
    private void chooseByName(ChannelHandlerContext ctx, ByteBuf out) {
        NbdClientEncoder.option(out, new NbdOption.ExportName(uri.exportName()));
        decoder.expectExportNameAnswer(!greeting.noZeroes());
        var _ = ctx.writeAndFlush(out);
    }

    private void send(ChannelHandlerContext ctx, NbdOption option) {
        ByteBuf out = ctx.alloc().buffer();
        NbdClientEncoder.option(out, option);
        var _ = ctx.writeAndFlush(out);
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
            case NbdOptionReply.Export(int _, long size, int transmissionFlags) -> {
                sizeBytes = size;
                flags = transmissionFlags;
            }
            case NbdOptionReply.Description(int _, String text) -> description = text;
            case NbdOptionReply.BlockSize(int _, int _, int preferred, int maximum) -> {
                preferredBlockBytes = preferred;
                maximumPayloadBytes = maximum < 0 ? Nbd.MAX_PAYLOAD_BYTES : Math.min(maximum, Nbd.MAX_PAYLOAD_BYTES);
            }
            case NbdOptionReply.Name _, NbdOptionReply.MetaContext _, NbdOptionReply.Unknown _ -> {}
            case NbdOptionReply.Failure failure -> failed(ctx, failure);
            case NbdOptionReply.ExportNameAnswer(long size, int transmissionFlags, boolean _) -> {
                sizeBytes = size;
                flags = transmissionFlags;
                start(ctx);
            }
        }
    }

    private void acknowledged(ChannelHandlerContext ctx, int option) {
        switch (option) {
            case Nbd.OPT_STRUCTURED_REPLY -> {
                structured = true;
                choose(ctx);
            }
            case Nbd.OPT_LIST -> {
                stopDeadline();
                if (list != null) {
                    list.complete(List.copyOf(names));
                }
                send(ctx, new NbdOption.Abort());
                var _ = ctx.channel().close();
            }
            case Nbd.OPT_GO -> start(ctx);
            default -> fail(ctx, new IOException("the server acknowledged option " + option + ", which was not asked"));
        }
    }

    private void choose(ChannelHandlerContext ctx) {
        send(ctx, new NbdOption.Go(uri.exportName(), List.of(Nbd.INFO_DESCRIPTION, Nbd.INFO_BLOCK_SIZE)));
    }

    private void failed(ChannelHandlerContext ctx, NbdOptionReply.Failure failure) {
        if (failure.option() == Nbd.OPT_STRUCTURED_REPLY) {
            choose(ctx);
        } else if (failure.option() == Nbd.OPT_GO && failure.replyType() == Nbd.REP_ERR_UNSUP) {
            chooseByName(ctx, ctx.alloc().buffer());
        } else {
            fail(ctx, new NbdRefusedException(failure.replyType(), reason(failure)));
        }
    }

    private static String reason(NbdOptionReply.Failure failure) {
        if (!failure.message().isEmpty()) {
            return failure.message().lines().findFirst().orElse("");
        }
        return switch (failure.replyType()) {
            case Nbd.REP_ERR_UNKNOWN -> "the server has no such export";
            case Nbd.REP_ERR_POLICY -> "the server's policy forbids it";
            case Nbd.REP_ERR_SHUTDOWN -> "the server is closing";
            case Nbd.REP_ERR_TLS_REQD -> "the server demands TLS";
            default ->
                "the server refused option " + failure.option() + " with error "
                        + Integer.toUnsignedString(failure.replyType() & 0x7fff_ffff);
        };
    }

    private void start(ChannelHandlerContext ctx) {
        stopDeadline();
        if (sizeBytes < 0) {
            fail(ctx, new IOException("the server gave no size for the export, or one beyond 8 EiB"));
            return;
        }
        ctx.pipeline().remove(this);
        export.complete(new NbdExport(
                uri.exportName(), sizeBytes, flags, preferredBlockBytes, maximumPayloadBytes, description, structured));
    }
}
