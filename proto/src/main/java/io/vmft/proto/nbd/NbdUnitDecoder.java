package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelConfig;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.RecvByteBufAllocator;
import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * Cuts a byte stream into units whose length is known before they arrive: a header, then the payload it announced. It holds
 * at most one incomplete unit and, while paused, what the socket delivered in its last turn.
 *
 * <p>A unit that lies whole in a received buffer is decoded from there. The rest of a large incomplete unit is received into the
 * unit's own buffer, so that a big payload is copied once, by the kernel. All methods belong to the channel's event loop.
 */
abstract class NbdUnitDecoder extends ChannelInboundHandlerAdapter {
    /** From here on an incomplete unit is worth a receive call of its own. */
    private static final int DIRECT_RECEIVE_BYTES = 32 << 10;

    /** Room for the header of a request, and little of what follows it. */
    private static final int HEADER_RECEIVE_BYTES = 512;

    private final ArrayDeque<ByteBuf> held = new ArrayDeque<>();
    private @Nullable ChannelHandlerContext context;
    private @Nullable ByteBuf partial;
    private int unitBytes;
    private int lastUnitBytes;
    private long skipBytes;
    private boolean paused;
    private boolean decoding;
    private boolean tls;
    private boolean plainTextEnds;
    private boolean ended;

    NbdUnitDecoder(int firstUnitBytes) {
        this.unitBytes = firstUnitBytes;
    }

    /**
     * Takes exactly the announced bytes from {@code unit}, which may hold more and stays the caller's, and announces the next
     * unit.
     */
    abstract void decode(ChannelHandlerContext ctx, ByteBuf unit);

    /** Announces the length of the next unit; at least 1. */
    final void expect(int lengthBytes) {
        unitBytes = lengthBytes;
    }

    /** Drops bytes before the next unit begins. */
    final void skip(long lengthBytes) {
        skipBytes = lengthBytes;
    }

    /** Decodes nothing more until {@link #resume}. The caller sees to it that the socket is not read meanwhile. */
    public final void pause() {
        paused = true;
    }

    /** Goes on after {@link #pause}, first with the bytes that arrived before it. */
    public final void resume() {
        if (!paused) {
            return;
        }
        paused = false;
        ChannelHandlerContext ctx = context;
        if (decoding || ctx == null || held.isEmpty()) {
            return;
        }
        try {
            while (!paused && !held.isEmpty()) {
                consume(ctx, held.remove());
            }
        } catch (RuntimeException e) {
            ctx.fireExceptionCaught(e); // nobody above would: this is no read of the socket
        }
        ctx.fireChannelReadComplete();
    }

    /**
     * From the unit decoded now, or last, on the peer speaks TLS: the caller puts a TLS handler before this one. Whatever of the stream has
     * arrived behind that unit was sent in plain text, by whomever: it ends the connection with an {@link NbdProtocolException}.
     */
    public final void startTls() {
        tls = true;
        plainTextEnds = true;
        if (!decoding) {
            endPlainText(false);
        }
    }

    private void endPlainText(boolean moreReceived) {
        plainTextEnds = false;
        if (moreReceived || partial != null || !held.isEmpty()) {
            throw NbdProtocolException.malformed("plain text where TLS must begin");
        }
    }

    /** Ignores everything that still comes. */
    public final void end() {
        ended = true;
        release();
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        context = ctx;
        Channel channel = ctx.channel();
        channel.config()
                .setRecvByteBufAllocator(new PayloadAllocator(channel.config().getRecvByteBufAllocator()));
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext ctx) {
        end();
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        end();
        ctx.fireChannelInactive();
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        if (message instanceof ByteBuf received) {
            consume(ctx, received);
        } else {
            ctx.fireChannelRead(message);
        }
    }

    @SuppressWarnings("ReferenceEquality") // the very buffer that allocate handed out
    private void consume(ChannelHandlerContext ctx, ByteBuf in) {
        boolean release = true;
        decoding = true;
        try {
            if (in == partial) {
                // Received in place: this reference is the receiver's, the unit has its own.
                if (!in.isWritable()) {
                    decodePartial(ctx, in);
                }
                return;
            }
            while (!ended && in.isReadable()) {
                if (paused) {
                    hold(in);
                    release = false;
                    return;
                }
                step(ctx, in);
                if (plainTextEnds) {
                    endPlainText(in.isReadable());
                }
            }
        } catch (RuntimeException e) {
            end();
            throw e;
        } finally {
            decoding = false;
            if (release) {
                in.release();
            }
        }
    }

    /** What a resumed decoder could not finish goes back to the front: order is the stream's. */
    private void hold(ByteBuf in) {
        if (in.readerIndex() > 0) {
            held.addFirst(in);
        } else {
            held.addLast(in);
        }
    }

    private void step(ChannelHandlerContext ctx, ByteBuf in) {
        if (skipBytes > 0) {
            int count = (int) Math.min(skipBytes, in.readableBytes());
            in.skipBytes(count);
            skipBytes -= count;
        } else if (partial != null) {
            partial.writeBytes(in, Math.min(partial.writableBytes(), in.readableBytes()));
            if (!partial.isWritable()) {
                decodePartial(ctx, partial);
            }
        } else if (in.readableBytes() >= unitBytes) {
            lastUnitBytes = unitBytes;
            decode(ctx, in);
        } else {
            partial = ctx.alloc().directBuffer(unitBytes, unitBytes);
            partial.writeBytes(in);
        }
    }

    private void decodePartial(ChannelHandlerContext ctx, ByteBuf unit) {
        partial = null;
        lastUnitBytes = unit.capacity();
        try {
            decode(ctx, unit);
        } finally {
            unit.release();
        }
    }

    private void release() {
        if (partial != null) {
            partial.release();
            partial = null;
        }
        held.forEach(ByteBuf::release);
        held.clear();
    }

    /** Lets the socket read straight into a large incomplete unit. */
    @SuppressWarnings("deprecation") // Netty's interface names the type it deprecates
    private final class PayloadAllocator implements RecvByteBufAllocator {
        private final RecvByteBufAllocator ordinary;

        PayloadAllocator(RecvByteBufAllocator ordinary) {
            this.ordinary = ordinary;
        }

        @Override
        public Handle newHandle() {
            return new PayloadHandle(ordinary.newHandle());
        }
    }

    @SuppressWarnings("deprecation") // Netty's interface names the type it deprecates
    private final class PayloadHandle extends RecvByteBufAllocator.DelegatingHandle
            implements RecvByteBufAllocator.ExtendedHandle {
        private final RecvByteBufAllocator.ExtendedHandle ordinary;

        PayloadHandle(RecvByteBufAllocator.Handle ordinary) {
            super(ordinary);
            this.ordinary = (RecvByteBufAllocator.ExtendedHandle) ordinary;
        }

        @Override
        public ByteBuf allocate(ByteBufAllocator allocator) {
            if (tls || paused || skipBytes > 0) {
                return super.allocate(allocator);
            }
            if (partial == null && unitBytes >= DIRECT_RECEIVE_BYTES) {
                partial = allocator.directBuffer(unitBytes, unitBytes);
            }
            ByteBuf unit = partial;
            if (unit == null) {
                // Behind a long payload come a short header and most likely another long payload: what is received
                // together with the header would have to be copied.
                return lastUnitBytes >= DIRECT_RECEIVE_BYTES
                        ? allocator.directBuffer(HEADER_RECEIVE_BYTES)
                        : super.allocate(allocator);
            }
            return unit.writableBytes() >= DIRECT_RECEIVE_BYTES ? unit.retain() : super.allocate(allocator);
        }

        @Override
        public void reset(ChannelConfig config) {
            ordinary.reset(config);
        }

        @Override
        public boolean continueReading(io.netty.util.UncheckedBooleanSupplier maybeMoreDataSupplier) {
            return ordinary.continueReading(maybeMoreDataSupplier);
        }
    }
}
