package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.DefaultMaxMessagesRecvByteBufAllocator;
import io.netty.channel.RecvByteBufAllocator;
import io.netty.handler.codec.CorruptedFrameException;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Reads {@link Frame}s and verifies their checksums. On a channel that has {@link #receiver} payload bytes go from the socket into the payload's
 * final place, and are summed up while they are in the processor's cache; on any other they are copied there. A malformed or damaged frame fires
 * a {@link CorruptedFrameException} and nothing after it is read: the link is of no use any more.
 */
public final class FrameDecoder extends ChannelInboundHandlerAdapter {
    /** Where a header is read: it, and all of what is small anyway. */
    private static final int SHORT_READ_BYTES = 8 << 10;
    /** Less than what a processor keeps in its cache. */
    private static final int LONG_READ_BYTES = 256 << 10;
    /** Then the loop's other channels have their turn. */
    private static final int READS_IN_TURN = 16;

    private final PayloadAllocator allocator;
    private final ByteBuf header = Unpooled.directBuffer(Frame.HEADER_BYTES, Frame.HEADER_BYTES);
    private final CRC32C crc = new CRC32C();
    private boolean broken;
    private FrameType type = FrameType.HEARTBEAT;
    private long epoch;
    private int lengthBytes;
    /** From when its header is whole. */
    private @Nullable ByteBuf payload;
    /** Where in the payload the next bytes were last told to go. */
    private @Nullable ByteBuf place;

    public FrameDecoder(PayloadAllocator allocator) {
        this.allocator = allocator;
    }

    /** Says where each read of the channel puts what it gets: to be that channel's receive buffer allocator, and no other's. */
    public RecvByteBufAllocator receiver() {
        return new Receiver();
    }

    private final class Receiver extends DefaultMaxMessagesRecvByteBufAllocator {
        Receiver() {
            super(READS_IN_TURN);
        }

        @Override
        public MaxMessageHandle newHandle() {
            return new MaxMessageHandle() {
                @Override
                public int guess() {
                    return SHORT_READ_BYTES;
                }

                @Override
                public ByteBuf allocate(ByteBufAllocator buffers) {
                    ByteBuf given = nextPlace();
                    return given != null ? given : super.allocate(buffers);
                }
            };
        }
    }

    private @Nullable ByteBuf nextPlace() {
        ByteBuf target = payload;
        if (target == null || !target.isDirect()) {
            place = null;
        } else {
            int missing = lengthBytes - target.readableBytes();
            place = target.retainedSlice(target.writerIndex(), Math.min(missing, LONG_READ_BYTES))
                    .clear();
        }
        return place;
    }

    // That very buffer, not one with equal contents.
    @SuppressWarnings("ReferenceEquality")
    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        ByteBuf in = (ByteBuf) message;
        try {
            if (in == place && payload != null) {
                arrived(ctx, payload, in);
            }
            while (!broken && in.isReadable()) {
                step(ctx, in);
            }
        } catch (CorruptedFrameException e) {
            broken = true;
            ctx.fireExceptionCaught(e);
        } finally {
            in.release();
        }
    }

    /** What was read is in the payload's place already. */
    private void arrived(ChannelHandlerContext ctx, ByteBuf target, ByteBuf in) {
        int bytes = in.readableBytes();
        in.skipBytes(bytes);
        target.writerIndex(target.writerIndex() + bytes);
        grown(ctx, target, bytes);
    }

    private void step(ChannelHandlerContext ctx, ByteBuf in) {
        ByteBuf target = payload;
        if (target == null) {
            in.readBytes(header, Math.min(in.readableBytes(), header.writableBytes()));
            if (header.isWritable()) {
                return;
            }
            readHeader();
            target = lengthBytes == 0 ? Unpooled.EMPTY_BUFFER : allocator.allocate(type, lengthBytes);
            payload = target;
            crc.reset();
            crc.update(header.nioBuffer(0, Frame.HEADER_CRC_BYTES));
        }
        int bytes = Math.min(lengthBytes - target.readableBytes(), in.readableBytes());
        target.writeBytes(in, bytes);
        grown(ctx, target, bytes);
    }

    /** The payload has got so many bytes more. */
    private void grown(ChannelHandlerContext ctx, ByteBuf target, int bytes) {
        crc.update(target.nioBuffer(target.writerIndex() - bytes, bytes));
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
        int expected = header.getInt(20);
        int found = (int) crc.getValue();
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
