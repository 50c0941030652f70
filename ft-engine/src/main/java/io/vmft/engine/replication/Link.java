package io.vmft.engine.replication;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelPipeline;
import io.netty.handler.codec.CorruptedFrameException;
import io.netty.handler.timeout.IdleState;
import io.netty.handler.timeout.IdleStateEvent;
import io.netty.handler.timeout.IdleStateHandler;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameDecoder;
import io.vmft.proto.checkpoint.FrameEncoder;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.PayloadAllocator;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * One connection between two engines. Heartbeats go out when nothing else does; silence for the failure timeout, a damaged frame or a
 * lost connection closes it, and the reason is told once. {@link #send} and {@link #execute} from any thread; everything else on its event loop.
 */
public final class Link {
    private final Channel channel;
    private final LinkConfig config;
    private final LinkListener listener;
    private @Nullable String reason;

    private Link(Channel channel, LinkConfig config, LinkListener listener) {
        this.channel = channel;
        this.config = config;
        this.listener = listener;
    }

    /** Puts the frame protocol on a channel that is not active yet. */
    static Link install(Channel channel, LinkConfig config, PayloadAllocator allocator, LinkListener listener) {
        Link link = new Link(channel, config, listener);
        ChannelPipeline pipeline = channel.pipeline();
        pipeline.addLast(new IdleStateHandler(
                config.failureTimeout().toNanos(), config.heartbeat().toNanos(), 0, TimeUnit.NANOSECONDS));
        pipeline.addLast(new FrameEncoder());
        FrameDecoder decoder = new FrameDecoder(allocator);
        channel.config().setRecvByteBufAllocator(decoder.receiver());
        pipeline.addLast(decoder);
        pipeline.addLast(link.new Inbound());
        return link;
    }

    /** Sends a frame and flushes. The payload must not change until the future completes. */
    public ChannelFuture send(Frame frame) {
        return channel.writeAndFlush(frame);
    }

    public ChannelFuture send(FrameType type, long epoch) {
        return send(Frame.empty(type, epoch));
    }

    public ChannelFuture send(FrameType type, long epoch, byte[] payload) {
        return send(new Frame(type, epoch, Unpooled.wrappedBuffer(payload)));
    }

    /** Runs something on the event loop; false: not at all, for that has ended, and with it the engine. Any thread. */
    public boolean execute(Runnable task) {
        try {
            channel.eventLoop().execute(task);
            return true;
        } catch (RejectedExecutionException e) {
            return false;
        }
    }

    /** A buffer for a frame's payload. */
    public ByteBuf buffer(int lengthBytes) {
        return channel.alloc().directBuffer(lengthBytes, lengthBytes);
    }

    /** Whether what was sent is leaving fast enough to send more. */
    public boolean isWritable() {
        return channel.isWritable();
    }

    /** Closes; the listener hears {@code reason} unless the link was closed already. */
    public ChannelFuture close(String because) {
        if (reason == null) {
            reason = because;
        }
        return channel.close();
    }

    public String peer() {
        return String.valueOf(channel.remoteAddress());
    }

    private final class Inbound extends ChannelInboundHandlerAdapter {
        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) {
            Frame frame = (Frame) message;
            if (frame.type() == FrameType.HEARTBEAT) {
                frame.release();
                return;
            }
            listener.frame(Link.this, frame);
        }

        @Override
        public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
            if (event instanceof IdleStateEvent idle) {
                if (idle.state() == IdleState.WRITER_IDLE) {
                    send(FrameType.HEARTBEAT, 0);
                } else if (idle.state() == IdleState.READER_IDLE) {
                    close("no heartbeat for " + config.failureTimeout().toMillis() + " ms");
                }
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            close(
                    cause instanceof CorruptedFrameException || cause instanceof java.io.IOException
                            ? String.valueOf(cause.getMessage())
                            : cause.toString());
        }

        @Override
        public void channelInactive(ChannelHandlerContext ctx) {
            listener.closed(Link.this, reason == null ? "the other side closed the connection" : reason);
        }
    }
}
