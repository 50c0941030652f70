package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.util.collection.LongObjectHashMap;
import io.vmft.proto.nbd.NbdClientEncoder;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.ArrayDeque;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One connection's transmission phase. {@link #submit} may be called on any thread, the rest is confined to the event loop.
 *
 * <p>Requests submitted together leave in one system call. At most {@value #MAX_IN_FLIGHT} are on their way; the others wait here.
 */
final class ClientTransmission extends ChannelInboundHandlerAdapter {
    private static final int MAX_IN_FLIGHT = 128;

    private final Channel channel;
    private final NbdHeaders headers;
    private final Queue<PendingRequest> submitted = new ConcurrentLinkedQueue<>();
    private final AtomicBoolean drainScheduled = new AtomicBoolean();
    private final Queue<PendingRequest> waiting = new ArrayDeque<>();
    private final LongObjectHashMap<PendingRequest> inFlight = new LongObjectHashMap<>();
    private final CompletableFuture<IOException> whenEnded = new CompletableFuture<>();
    private @Nullable IOException ended;

    ClientTransmission(Channel channel, NbdHeaders headers) {
        this.channel = channel;
        this.headers = headers;
    }

    /** Sends a request as soon as the connection takes it. Its data is taken over. */
    void submit(PendingRequest request) {
        submitted.add(request);
        if (drainScheduled.compareAndSet(false, true)) {
            channel.eventLoop().execute(this::drain);
        }
    }

    /** The request that waits for an answer; for the decoder. */
    @Nullable
    NbdRequest pending(long cookie) {
        PendingRequest pending = inFlight.get(cookie);
        return pending == null ? null : pending.request();
    }

    /** Completes with the reason when the connection is of no more use. */
    CompletableFuture<IOException> ended() {
        return whenEnded;
    }

    private void drain() {
        drainScheduled.set(false);
        for (PendingRequest next = submitted.poll(); next != null; next = submitted.poll()) {
            if (ended != null) {
                drop(next, ended);
            } else {
                waiting.add(next);
            }
        }
        sendWaiting();
    }

    private void sendWaiting() {
        if (waiting.isEmpty() || inFlight.size() >= MAX_IN_FLIGHT || !channel.isWritable()) {
            return;
        }
        ByteBuf out = channel.alloc().directBuffer();
        while (inFlight.size() < MAX_IN_FLIGHT && channel.isWritable()) {
            PendingRequest next = waiting.poll();
            if (next == null) {
                break;
            }
            inFlight.put(next.request().cookie(), next);
            NbdClientEncoder.request(out, headers, next.request());
            if (next.request() instanceof NbdRequest.Write write) {
                channel.write(out, channel.voidPromise());
                channel.write(write.data(), channel.voidPromise());
                out = channel.alloc().directBuffer();
            }
        }
        var _ = channel.writeAndFlush(out, channel.voidPromise());
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) throws IOException {
        NbdReply reply = (NbdReply) message;
        PendingRequest pending = inFlight.get(reply.cookie());
        if (pending == null) {
            PendingRequest.release(reply);
            throw new IOException("the server answered a request that was not made");
        }
        if (reply.done()) {
            inFlight.remove(reply.cookie());
        }
        try {
            pending.receive(reply, ctx.alloc());
        } catch (IOException e) {
            pending.fail(e);
            throw e;
        }
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        sendWaiting();
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        channel.eventLoop().execute(this::sendWaiting); // not from inside the write that changed it
    }

    @Override
    public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
        end(new IOException(cause.getMessage(), cause));
        var _ = ctx.close();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        end(new IOException("the server closed the connection"));
    }

    /** Fails everything that waits: what was sent has an unknown outcome, what was not never happened; both are told alike. */
    private void end(IOException cause) {
        if (ended != null) {
            return;
        }
        ended = cause;
        inFlight.values().forEach(pending -> pending.fail(lost(cause)));
        inFlight.clear();
        waiting.forEach(pending -> drop(pending, cause));
        waiting.clear();
        whenEnded.complete(cause);
    }

    private static void drop(PendingRequest pending, IOException cause) {
        if (pending.request() instanceof NbdRequest.Write write) {
            write.data().release();
        }
        pending.fail(lost(cause));
    }

    private static NbdDisconnectedException lost(IOException cause) {
        return new NbdDisconnectedException("not answered: " + cause.getMessage(), cause);
    }
}
