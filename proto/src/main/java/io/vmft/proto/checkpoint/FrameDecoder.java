package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.handler.codec.CorruptedFrameException;
import org.jspecify.annotations.Nullable;

/**
 * Reads {@link Frame}s and verifies their checksums. Payload bytes are copied once, from the socket's buffer into the payload's final
 * place. A malformed or damaged frame fires a {@link CorruptedFrameException} and nothing after it is read: the link is of no
 * use any more.
 */
public final class FrameDecoder extends ChannelInboundHandlerAdapter {
    private enum State {
        HEADER,
        PAYLOAD,
        BROKEN
    }

    private final PayloadAllocator allocator;
    private final ByteBuf header = Unpooled.directBuffer(Frame.HEADER_BYTES, Frame.HEADER_BYTES);
    private State state = State.HEADER;
    private FrameType type = FrameType.HEARTBEAT;
    private long epoch;
    private int lengthBytes;
    private @Nullable ByteBuf payload;

    public FrameDecoder(PayloadAllocator allocator) {
        this.allocator = allocator;
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf in = (ByteBuf) message;
        try {
            while (state != State.BROKEN && (in.isReadable() || payloadIsWhole())) {
                step(ctx, in);
            }
        } catch (CorruptedFrameException e) {
            state = State.BROKEN;
            ctx.fireExceptionCaught(e);
        } finally {
            in.release();
        }
    }

    private boolean payloadIsWhole() {
        return state == State.PAYLOAD && lengthBytes == 0;
    }

    private void step(ChannelHandlerContext ctx, ByteBuf in) {
        if (state == State.HEADER) {
            in.readBytes(header, Math.min(in.readableBytes(), header.writableBytes()));
            if (!header.isWritable()) {
                readHeader();
                state = State.PAYLOAD;
            }
            return;
        }
        ByteBuf target = payload;
        if (target == null) {
            target = lengthBytes == 0 ? Unpooled.EMPTY_BUFFER : allocator.allocate(type, lengthBytes);
            payload = target;
        }
        int missing = lengthBytes - target.readableBytes();
        target.writeBytes(in, Math.min(missing, in.readableBytes()));
        if (target.readableBytes() == lengthBytes) {
            emit(ctx, target);
        }
    }

    private void readHeader() {
        if (header.getInt(0) != Frame.MAGIC) {
            throw new CorruptedFrameException("not a checkpoint frame: it starts with 0x"
                    + Integer.toHexString(header.getInt(0)) + " (is this port really a vmft standby's?)");
        }
        FrameType known = FrameType.ofCode(header.getUnsignedByte(4));
        if (known == null || header.getUnsignedMedium(5) != 0) {
            throw new CorruptedFrameException("unknown checkpoint frame type " + header.getUnsignedByte(4));
        }
        type = known;
        epoch = header.getLong(8);
        lengthBytes = header.getInt(16);
        int limit = type.carriesPages() ? Frame.MAX_PAGES_PAYLOAD_BYTES : Frame.MAX_OTHER_PAYLOAD_BYTES;
        if (epoch < 0 || lengthBytes < 0 || lengthBytes > limit) {
            throw new CorruptedFrameException(type + " frame of epoch " + epoch + " claims "
                    + Integer.toUnsignedString(lengthBytes) + " bytes; the limit is " + limit);
        }
    }

    private void emit(ChannelHandlerContext ctx, ByteBuf whole) {
        payload = null;
        state = State.HEADER;
        int expected = header.getInt(20);
        int found = FrameEncoder.crc(header, whole);
        header.clear();
        if (expected != found) {
            whole.release();
            throw new CorruptedFrameException(type + " frame of epoch " + epoch + ": checksum 0x"
                    + Integer.toHexString(found) + ", sent with 0x" + Integer.toHexString(expected));
        }
        ctx.fireChannelRead(new Frame(type, epoch, whole));
    }

    @Override
    public void handlerRemoved(ChannelHandlerContext ctx) {
        header.release();
        if (payload != null) {
            payload.release();
            payload = null;
        }
    }
}
