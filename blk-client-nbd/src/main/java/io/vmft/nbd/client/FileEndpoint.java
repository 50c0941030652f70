package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/** A file, worked on by virtual threads. */
final class FileEndpoint implements Endpoint {
    private final FileChannel channel;
    private final long sizeBytes;
    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();

    FileEndpoint(FileChannel channel) throws IOException {
        this(channel, channel.size());
    }

    /** Of this size when the copy is done, whatever it is now. */
    FileEndpoint(FileChannel channel, long sizeBytes) {
        this.channel = channel;
        this.sizeBytes = sizeBytes;
    }

    @FunctionalInterface
    private interface Action {
        void run() throws IOException;
    }

    private CompletableFuture<Void> async(Action action) {
        return CompletableFuture.runAsync(
                () -> {
                    try {
                        action.run();
                    } catch (IOException e) {
                        throw new CompletionException(e);
                    }
                },
                threads);
    }

    @Override
    public long sizeBytes() {
        return sizeBytes;
    }

    @Override
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        ByteBuf data = PooledByteBufAllocator.DEFAULT.directBuffer(lengthBytes, lengthBytes);
        return async(() -> fill(data, offset)).handle((_, failure) -> {
            if (failure != null) {
                data.release();
                throw new CompletionException(failure);
            }
            return data;
        });
    }

    private void fill(ByteBuf data, long offset) throws IOException {
        while (data.isWritable()) {
            if (data.writeBytes(channel, offset + data.writerIndex(), data.writableBytes()) < 0) {
                throw new EOFException("the source became shorter than " + sizeBytes + " bytes");
            }
        }
    }

    @Override
    public CompletableFuture<Void> write(long offset, ByteBuf data) {
        return async(() -> {
            try {
                long position = offset;
                while (data.isReadable()) {
                    position += data.readBytes(channel, position, data.readableBytes());
                }
            } finally {
                data.release();
            }
        });
    }

    /** The file was made anew: what is not written is zero. */
    @Override
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes) {
        return CompletableFuture.completedFuture(null);
    }

    @Override
    public CompletableFuture<Void> flush() {
        return async(() -> {
            if (channel.size() < sizeBytes) {
                // The last bytes are zeroes that were not written.
                channel.write(ByteBuffer.allocate(1), sizeBytes - 1);
            }
            channel.force(true);
        });
    }

    @Override
    public void close() throws IOException {
        threads.close();
        channel.close();
    }
}
