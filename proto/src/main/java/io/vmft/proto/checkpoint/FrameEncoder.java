package io.vmft.proto.checkpoint;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandler;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelOutboundHandlerAdapter;
import io.netty.channel.ChannelPromise;
import java.nio.ByteBuffer;
import java.util.zip.CRC32C;

/**
 * Writes {@link Frame}s. The payload is not copied: it must not change until the write's promise completes, and that promise is
 * the payload's, not the header's.
 */
@ChannelHandler.Sharable
public final class FrameEncoder extends ChannelOutboundHandlerAdapter {
    @Override
    public void write(ChannelHandlerContext ctx, Object message, ChannelPromise promise) {
        if (!(message instanceof Frame frame)) {
            ctx.write(message, promise);
            return;
        }
        ByteBuf header = ctx.alloc().directBuffer(Frame.HEADER_BYTES);
        header.writeInt(Frame.MAGIC);
        header.writeByte(frame.type().code());
        header.writeZero(3);
        header.writeLong(frame.epoch());
        header.writeInt(frame.payload().readableBytes());
        header.writeInt(crc(header, frame.payload()));
        if (frame.payload().isReadable()) {
            ctx.write(header);
            ctx.write(frame.payload(), promise);
        } else {
            frame.payload().release();
            ctx.write(header, promise);
        }
    }

    /** CRC-32C of the header's covered bytes and the payload, whatever buffers they stand in. */
    private static int crc(ByteBuf header, ByteBuf payload) {
        CRC32C crc = new CRC32C();
        crc.update(header.nioBuffer(header.readerIndex(), Frame.HEADER_CRC_BYTES));
        for (ByteBuffer part : payload.nioBuffers()) {
            crc.update(part);
        }
        return (int) crc.getValue();
    }
}
