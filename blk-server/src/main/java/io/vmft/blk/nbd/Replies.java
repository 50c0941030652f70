package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.FileRegion;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** Gathers a connection's replies into few buffers and few system calls. Confined to its event loop. */
final class Replies {
    /** What one gathered buffer holds; as large as the allocator's threads cache. */
    private static final int GATHER_BYTES = 32 << 10;
    /** After so many bytes moved, either way, the client gets its replies although more requests are there. */
    private static final int FLUSH_AFTER_BYTES = 128 << 10;

    private @Nullable ByteBuf gathered;
    private int movedBytes;

    /** A buffer to append a reply to, with that much room. It stays this object's. */
    ByteBuf room(ChannelHandlerContext ctx, int bytes) {
        if (gathered != null && gathered.writableBytes() < bytes) {
            write(ctx);
        }
        if (gathered == null) {
            gathered = ctx.alloc().directBuffer(Math.max(bytes, GATHER_BYTES));
        }
        return gathered;
    }

    /** Sends a buffer behind what was gathered so far, and takes it over. */
    void send(ChannelHandlerContext ctx, ByteBuf reply) {
        write(ctx);
        if (reply.isReadable()) {
            var _ = ctx.write(reply, ctx.voidPromise());
        } else {
            reply.release();
        }
    }

    /**
     * Sends part of a file behind what was gathered so far, and takes it over.
     *
     * @return done when the socket has taken it
     */
    ChannelFuture send(ChannelHandlerContext ctx, FileRegion data) {
        write(ctx);
        return ctx.write(data);
    }

    /**
     * Sends what was gathered so far, which is something.
     *
     * @return done when the socket has taken it
     */
    ChannelFuture sendGathered(ChannelHandlerContext ctx) {
        ByteBuf out = Objects.requireNonNull(gathered);
        gathered = null;
        return ctx.write(out);
    }

    private void write(ChannelHandlerContext ctx) {
        ByteBuf out = gathered;
        gathered = null;
        if (out != null) {
            send(ctx, out);
        }
    }

    /** Counts data read or written; flushes when it has become much. */
    void moved(ChannelHandlerContext ctx, int bytes) {
        movedBytes += bytes;
        if (movedBytes >= FLUSH_AFTER_BYTES) {
            flush(ctx);
        }
    }

    void flush(ChannelHandlerContext ctx) {
        write(ctx);
        movedBytes = 0;
        ctx.flush();
    }

    /** Drops what was not sent. */
    void release() {
        if (gathered != null) {
            gathered.release();
            gathered = null;
        }
    }
}
