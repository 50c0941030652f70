package io.vmft.blk.nbd;

import io.netty.buffer.AbstractByteBufAllocator;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.ChannelOutboundBuffer;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.function.Consumer;

/**
 * A connection without a socket. What is written is taken at once, as by a client that reads. Its buffers come from an allocator
 * that knows what is in use, and fails a test that uses too much. One thread.
 */
final class FuzzChannel extends EmbeddedChannel {
    private final Consumer<ByteBuf> sink;
    private final Accountant accountant;

    /**
     * A channel that is not registered yet.
     *
     * @param sink sees what is written; the buffers stay the channel's
     * @param maxBytes what may be in use at a time
     */
    FuzzChannel(Consumer<ByteBuf> sink, long maxBytes) {
        super(false, false);
        this.sink = sink;
        this.accountant = new Accountant(maxBytes);
        config().setAllocator(accountant);
    }

    /** Bytes of buffers not released. */
    long usedBytes() {
        return accountant.usedBytes();
    }

    @Override
    protected void doWrite(ChannelOutboundBuffer in) {
        for (Object message = in.current(); message != null; message = in.current()) {
            sink.accept((ByteBuf) message);
            in.remove();
        }
    }

    private static final class Accountant extends AbstractByteBufAllocator {
        private final UnpooledByteBufAllocator buffers = new UnpooledByteBufAllocator(true, true);
        private final long maxBytes;

        Accountant(long maxBytes) {
            super(true);
            this.maxBytes = maxBytes;
        }

        long usedBytes() {
            return buffers.metric().usedDirectMemory() + buffers.metric().usedHeapMemory();
        }

        @Override
        public boolean isDirectBufferPooled() {
            return false;
        }

        @Override
        protected ByteBuf newDirectBuffer(int initialCapacity, int maxCapacity) {
            check(initialCapacity);
            return buffers.directBuffer(initialCapacity, maxCapacity);
        }

        @Override
        protected ByteBuf newHeapBuffer(int initialCapacity, int maxCapacity) {
            check(initialCapacity);
            return buffers.heapBuffer(initialCapacity, maxCapacity);
        }

        private void check(int bytes) {
            if (usedBytes() + bytes > maxBytes) {
                throw new AssertionError("buffers of " + usedBytes() + " bytes are in use and " + bytes
                        + " more are wanted: a session may have " + maxBytes);
            }
        }
    }
}
