package io.vmft.nbd.client;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.vmft.proto.nbd.NbdClientDecoder;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;

/**
 * A connection to one export. Thread-safe. Requests are sent in the order of the calls of one thread, answered in any order;
 * nothing orders requests but waiting for the earlier one's answer.
 *
 * <p>Futures complete on the connection's event loop, exceptionally with
 *
 * <ul>
 *   <li>{@link NbdRequestException} if the server answered with an error,
 *   <li>{@link NbdDisconnectedException} if the connection ended first: the outcome is unknown,
 *   <li>{@link IllegalArgumentException} if the request does not fit the export or {@value #MAX_WAITING} others wait already.
 * </ul>
 *
 * What depends on them must not block that thread.
 */
public final class NbdClient implements AutoCloseable {
    /** Requests one client holds at most, sent or not. */
    private static final int MAX_WAITING = 4096;

    private final Channel channel;
    private final NbdExport export;
    private final ClientTransmission transmission;
    private final AtomicLong cookies = new AtomicLong();
    private final AtomicInteger waiting = new AtomicInteger();

    private NbdClient(Channel channel, NbdExport export, ClientTransmission transmission) {
        this.channel = channel;
        this.export = export;
        this.transmission = transmission;
    }

    /**
     * Connects and chooses the export. Blocks for at most about 20 s.
     *
     * @throws NbdRefusedException if the server does not give the export
     * @throws IOException if there is no server, or it does not speak NBD
     */
    public static NbdClient connect(NbdUri uri) throws IOException {
        return await(connectAsync(uri), uri);
    }

    /** Connects and chooses the export. Fails as {@link #connect} does. */
    public static CompletableFuture<NbdClient> connectAsync(NbdUri uri) {
        NbdClientDecoder decoder = new NbdClientDecoder();
        CompletableFuture<NbdExport> export = new CompletableFuture<>();
        ChannelFuture connected = open(uri, decoder, export, null);
        CompletableFuture<NbdClient> client = export.thenApply(chosen -> {
            Channel channel = connected.channel();
            NbdHeaders headers = chosen.structured() ? NbdHeaders.STRUCTURED : NbdHeaders.SIMPLE;
            ClientTransmission transmission = new ClientTransmission(channel, headers);
            channel.pipeline().addLast(transmission);
            decoder.startTransmission(headers, transmission::pending);
            return new NbdClient(channel, chosen, transmission);
        });
        failIfNotConnected(connected, export);
        return client;
    }

    /**
     * The names of a server's exports; the export in the URI does not matter. Blocks for at most about 20 s.
     *
     * @throws IOException if there is no server, it does not speak NBD, or it does not list its exports
     */
    public static List<String> list(NbdUri uri) throws IOException {
        CompletableFuture<List<String>> list = new CompletableFuture<>();
        failIfNotConnected(open(uri, new NbdClientDecoder(), new CompletableFuture<>(), list), list);
        return await(list, uri);
    }

    private static ChannelFuture open(
            NbdUri uri,
            NbdClientDecoder decoder,
            CompletableFuture<NbdExport> export,
            @Nullable CompletableFuture<List<String>> list) {
        Bootstrap bootstrap = new Bootstrap()
                .group(Transport.LOOPS)
                .channel(Transport.channel(uri))
                .option(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, (int) ClientHandshake.DEADLINE.toMillis())
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        channel.pipeline().addLast(decoder).addLast(new ClientHandshake(uri, decoder, export, list));
                    }
                });
        if (uri.socket() == null) {
            bootstrap.option(ChannelOption.TCP_NODELAY, true).option(ChannelOption.SO_KEEPALIVE, true);
        }
        return bootstrap.connect(Transport.address(uri));
    }

    private static void failIfNotConnected(ChannelFuture connected, CompletableFuture<?> result) {
        var _ = connected.addListener(done -> {
            if (!done.isSuccess()) {
                result.completeExceptionally(done.cause());
            }
        });
    }

    private static <T> T await(CompletableFuture<T> future, NbdUri uri) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            if (cause instanceof NbdRefusedException refused) {
                throw new NbdRefusedException(refused.replyType(), uri + ": " + refused.getMessage());
            }
            throw new IOException(uri + ": " + cause.getMessage(), cause);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException(uri + ": interrupted while connecting");
        }
    }

    public NbdExport export() {
        return export;
    }

    /** Reads; the buffer belongs to whoever takes it from the future and must be released. */
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        checkRange(offset, lengthBytes);
        checkPayload(lengthBytes);
        return send(new NbdRequest.Read(cookies.incrementAndGet(), offset, lengthBytes, false));
    }

    /**
     * Writes the readable bytes of {@code data}, which is taken over, whatever happens.
     *
     * @param fua answered only when the data is safe
     */
    public CompletableFuture<Void> write(long offset, ByteBuf data, boolean fua) {
        try {
            checkRange(offset, data.readableBytes());
            checkPayload(data.readableBytes());
        } catch (IllegalArgumentException e) {
            data.release();
            throw e;
        }
        return withoutData(new NbdRequest.Write(cookies.incrementAndGet(), offset, data, fua));
    }

    /** Makes every write answered before safe. */
    public CompletableFuture<Void> flush() {
        return withoutData(new NbdRequest.Flush(cookies.incrementAndGet()));
    }

    /** Tells the server that the range is not needed. */
    public CompletableFuture<Void> trim(long offset, long lengthBytes) {
        checkRange(offset, lengthBytes);
        return withoutData(new NbdRequest.Trim(cookies.incrementAndGet(), offset, lengthBytes, false));
    }

    /** Makes a range of at most 4 GiB − 1 read as zeroes; it may become a hole. */
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes) {
        checkRange(offset, lengthBytes);
        return withoutData(
                new NbdRequest.WriteZeroes(cookies.incrementAndGet(), offset, lengthBytes, false, false, false));
    }

    private void checkRange(long offset, long lengthBytes) {
        if (offset < 0 || lengthBytes < 0 || offset > export.sizeBytes() - lengthBytes || lengthBytes > 0xffff_ffffL) {
            throw new IllegalArgumentException("bytes " + offset + " to " + (offset + lengthBytes)
                    + " are not inside the export of " + export.sizeBytes() + " bytes");
        }
    }

    private void checkPayload(int lengthBytes) {
        if (lengthBytes > export.maximumPayloadBytes()) {
            throw new IllegalArgumentException(
                    lengthBytes + " bytes are more than a request may carry: " + export.maximumPayloadBytes());
        }
    }

    private CompletableFuture<Void> withoutData(NbdRequest request) {
        return send(request).thenAccept(ByteBuf::release);
    }

    private CompletableFuture<ByteBuf> send(NbdRequest request) {
        CompletableFuture<ByteBuf> answer = new CompletableFuture<>();
        if (waiting.incrementAndGet() > MAX_WAITING) {
            waiting.decrementAndGet();
            if (request instanceof NbdRequest.Write write) {
                write.data().release();
            }
            answer.completeExceptionally(new IllegalArgumentException(MAX_WAITING + " requests wait already"));
            return answer;
        }
        var _ = answer.whenComplete((_, _) -> waiting.decrementAndGet());
        transmission.submit(new PendingRequest(request, answer));
        return answer;
    }

    /** Says goodbye and closes the connection; what is not answered yet fails. Wait for the last answer first. */
    @Override
    public void close() {
        if (channel.isActive()) {
            transmission.submit(new PendingRequest(new NbdRequest.Disconnect(0), new CompletableFuture<>()));
        }
        if (!channel.closeFuture().awaitUninterruptibly(ClientHandshake.DEADLINE.toMillis(), TimeUnit.MILLISECONDS)) {
            channel.close().awaitUninterruptibly();
        }
    }
}
