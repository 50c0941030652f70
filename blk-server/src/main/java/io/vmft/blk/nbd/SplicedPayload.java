package io.vmft.blk.nbd;

import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.IoEvent;
import io.netty.channel.IoEventLoop;
import io.netty.channel.IoRegistration;
import io.netty.channel.epoll.EpollIoHandle;
import io.netty.channel.epoll.EpollIoOps;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.unix.FileDescriptor;
import io.netty.channel.unix.UnixChannel;
import io.netty.handler.ssl.SslHandler;
import io.vmft.blk.file.Pipe;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.io.IOException;
import java.io.UncheckedIOException;
import org.jspecify.annotations.Nullable;

/**
 * Takes the payload of one connection's long writes from the socket into {@link Pipe}s, past the channel, which is not read meanwhile.
 * Confined to the connection's event loop.
 *
 * <p>The loop tells it by a descriptor of its own, a duplicate of the channel's, when more has come. The channel still notices when the
 * peer ends the connection, and then reads what is left: that goes to the decoder, and is behind what lies in the pipe.
 */
final class SplicedPayload {
    private static final int PIECE_BYTES = NbdServerDecoder.PIECE_BYTES;

    private static final long TCP_IN_FLIGHT_BYTES = 2 << 20;

    /** Neither a count nor an {@code errno}. */
    private static final int LEFT_TO_CHANNEL = Integer.MIN_VALUE;

    /** Where the pieces go. */
    interface Sink {
        /** Whether the write under way is still worth taking this way. */
        boolean wantsPiped();

        /**
         * The next piece, or a part of one, of the write under way.
         *
         * @param piece without its data
         * @param data the receiver's from now on, to be given back
         */
        void piped(ChannelHandlerContext ctx, NbdRequest.Write piece, Pipe data);

        /** For now there is no more. */
        void pipedAll(ChannelHandlerContext ctx);
    }

    private final ChannelHandlerContext ctx;
    private final NbdServerDecoder decoder;
    private final Pipes pipes;
    private final Sink sink;
    private final Readiness readiness = new Readiness();

    /** The write whose payload is taken; null: none is, and the channel is read. */
    private NbdRequest.@Nullable Write write;

    private long offset;
    private long remainingBytes;
    /** What is being filled. */
    private @Nullable Pipe pipe;

    private boolean paused;
    private boolean inTurn;
    private boolean closed;

    private SplicedPayload(ChannelHandlerContext ctx, NbdServerDecoder decoder, Pipes pipes, Sink sink) {
        this.ctx = ctx;
        this.decoder = decoder;
        this.pipes = pipes;
        this.sink = sink;
    }

    /** For a connection; null where payload cannot be taken past the channel. */
    static @Nullable SplicedPayload of(ChannelHandlerContext ctx, NbdServerDecoder decoder, Pipes pipes, Sink sink) {
        Channel channel = ctx.channel();
        boolean possible = channel instanceof UnixChannel
                && channel.eventLoop() instanceof IoEventLoop loop
                && loop.isCompatible(EpollIoHandle.class)
                && ctx.pipeline().get(SslHandler.class) == null;
        if (!possible) {
            return null;
        }
        SplicedPayload spliced = new SplicedPayload(ctx, decoder, pipes, sink);
        // At once when the channel's descriptor is closed: as long as the duplicate is open, the old number could still
        // be told of.
        var _ = channel.closeFuture().addListener(_ -> spliced.close());
        return spliced;
    }

    /**
     * Bytes in pipes above which no more are worth taking. What a TCP socket received into is free for it again only when it has been
     * stored: the more lies in pipes, the less of the memory that the next packets go to is still in a processor's cache.
     */
    long inFlightBytes() {
        return ctx.channel() instanceof SocketChannel ? TCP_IN_FLIGHT_BYTES : Long.MAX_VALUE;
    }

    /** Whether the channel must not be read. */
    boolean isUnderWay() {
        return write != null;
    }

    /** Takes the payload of an announced write from now on, as long as the sink wants it. */
    void begin(NbdRequest.Write announced) {
        if (closed || !readiness.open()) {
            return;
        }
        write = announced;
        offset = announced.offset();
        remainingBytes = announced.remainingBytes();
        turn(false);
    }

    /** Takes nothing until {@link #resume}. */
    void pause() {
        paused = true;
    }

    void resume() {
        paused = false;
        if (write != null && !inTurn) {
            turn(false);
        }
    }

    /** The channel was read all the same: what is in the pipe comes before that. */
    void readByChannel() {
        if (write != null && !inTurn) {
            end();
        }
    }

    /**
     * Takes what there is.
     *
     * @param told whether the socket has something: if nothing can be had then, the pipe is full
     */
    private void turn(boolean told) {
        inTurn = true;
        try {
            boolean isFull = told;
            while (write != null && !paused) {
                int count = fill();
                if (count > 0) {
                    isFull = false;
                } else if (count == LEFT_TO_CHANNEL) {
                    end();
                } else if (!Pipe.mustWait(count)) {
                    endOfStream();
                } else if (isFull && handOver()) {
                    isFull = false;
                } else {
                    break;
                }
            }
            if (write != null) {
                ctx.channel().config().setAutoRead(false);
            }
            readiness.listen(write != null && !paused);
        } catch (RuntimeException | OutOfMemoryError e) {
            ctx.fireExceptionCaught(e);
        } finally {
            inTurn = false;
        }
        sink.pipedAll(ctx);
    }

    /** As {@link Pipe#fill}; or {@link #LEFT_TO_CHANNEL} if there is nothing to fill, or nothing wanted. */
    private int fill() {
        if (!sink.wantsPiped() || !decoder.isAtPayload()) {
            return LEFT_TO_CHANNEL;
        }
        if (pipe == null) {
            pipe = pipes.take();
        }
        Pipe filling = pipe;
        if (filling == null) {
            return LEFT_TO_CHANNEL;
        }
        int room = (int) Math.min(remainingBytes, PIECE_BYTES - filling.lengthBytes());
        int count = filling.fill(readiness.descriptor(), room);
        if (count > 0) {
            remainingBytes -= count;
            decoder.taken(count);
            if (remainingBytes == 0) {
                end();
            } else if (count == room) {
                handOver();
            }
        }
        return count;
    }

    /** Gives the sink what is in the pipe, if anything is. */
    private boolean handOver() {
        NbdRequest.Write whole = write;
        Pipe filled = pipe;
        if (whole == null || filled == null || filled.lengthBytes() == 0) {
            return false;
        }
        pipe = null;
        long pieceOffset = offset;
        offset += filled.lengthBytes();
        sink.piped(
                ctx,
                new NbdRequest.Write(whole.cookie(), pieceOffset, Unpooled.EMPTY_BUFFER, false, remainingBytes),
                filled);
        return true;
    }

    /** From here on the channel is read again. */
    private void end() {
        handOver();
        write = null;
        dropPipe();
        readiness.listen(false);
        if (!paused && !closed) {
            ctx.channel().config().setAutoRead(true);
        }
    }

    /** The socket ended or failed: with a part of a piece in hand nothing can follow; otherwise the channel finds out by itself. */
    private void endOfStream() {
        if (pipe != null && pipe.lengthBytes() > 0) {
            dropPipe();
            var _ = ctx.channel().close();
        } else {
            end();
        }
    }

    private void dropPipe() {
        if (pipe != null) {
            pipes.giveBack(pipe);
            pipe = null;
        }
    }

    /** Lets go of the socket; a piece that is not complete is dropped. Before the channel closes, for the peer to see that at once. */
    void close() {
        closed = true;
        write = null;
        dropPipe();
        readiness.close();
    }

    /** Tells when the socket has something, through a descriptor of its own. */
    private final class Readiness implements EpollIoHandle {
        /** What is told of anyway. After {@link EpollIoOps#NONE} Netty would not listen again. */
        private static final EpollIoOps NOT_LISTENING = EpollIoOps.EPOLLERR;

        private @Nullable FileDescriptor duplicate;
        private @Nullable IoRegistration registration;
        private boolean listening;

        /** False: there is no descriptor to be had. */
        boolean open() {
            if (duplicate == null) {
                int fd = Pipe.duplicate(((UnixChannel) ctx.channel()).fd().intValue());
                if (fd >= 0) {
                    duplicate = new FileDescriptor(fd);
                }
            }
            return duplicate != null;
        }

        int descriptor() {
            return fd().intValue();
        }

        @Override
        public FileDescriptor fd() {
            FileDescriptor open = duplicate;
            if (open == null) {
                throw new IllegalStateException("not open");
            }
            return open;
        }

        void listen(boolean listen) {
            if (listening == listen) {
                return;
            }
            listening = listen;
            if (registration == null) {
                // Done at once: this is the loop's thread.
                registration =
                        ((IoEventLoop) ctx.channel().eventLoop()).register(this).getNow();
            }
            if (registration != null) {
                var _ = registration.submit(listen ? EpollIoOps.EPOLLIN : NOT_LISTENING);
            }
        }

        @Override
        public void handle(IoRegistration told, IoEvent event) {
            if (listening) {
                turn(true);
            } else {
                // A connection that has ended is told of again and again, wanted or not.
                unregister();
            }
        }

        private void unregister() {
            listening = false;
            if (registration != null) {
                var _ = registration.cancel();
                registration = null;
            }
        }

        @Override
        public void close() {
            unregister();
            FileDescriptor open = duplicate;
            duplicate = null;
            if (open != null) {
                try {
                    open.close();
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            }
        }
    }
}
