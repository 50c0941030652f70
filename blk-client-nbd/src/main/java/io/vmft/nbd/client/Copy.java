package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CompletableFuture;
import java.util.function.LongConsumer;

/** Copies one endpoint into another: some blocks at once, zeroes as zeroes. */
final class Copy {
    private static final int BLOCK_BYTES = 1 << 20;
    private static final int BLOCKS_AT_ONCE = 16;

    private final Endpoint source;
    private final Endpoint destination;

    Copy(Endpoint source, Endpoint destination) {
        this.source = source;
        this.destination = destination;
    }

    /**
     * Copies everything and flushes.
     *
     * @param progress told how many bytes are done, now and then, on the calling thread
     */
    void run(LongConsumer progress) throws IOException {
        Deque<CompletableFuture<Void>> running = new ArrayDeque<>();
        try {
            long done = 0;
            for (long offset = 0; offset < source.sizeBytes(); offset += BLOCK_BYTES) {
                if (running.size() == BLOCKS_AT_ONCE) {
                    Waiting.get(running.remove());
                    done += BLOCK_BYTES;
                    progress.accept(done);
                }
                running.add(block(offset, (int) Math.min(BLOCK_BYTES, source.sizeBytes() - offset)));
            }
            while (!running.isEmpty()) {
                Waiting.get(running.remove());
            }
            Waiting.get(destination.flush());
            progress.accept(source.sizeBytes());
        } finally {
            // After a failure: nothing may still run when the endpoints are closed.
            for (CompletableFuture<Void> rest : running) {
                var _ = rest.exceptionally(_ -> null).join();
            }
        }
    }

    private CompletableFuture<Void> block(long offset, int lengthBytes) {
        return source.read(offset, lengthBytes).thenCompose(data -> {
            if (isZero(data)) {
                data.release();
                return destination.writeZeroes(offset, lengthBytes);
            }
            return destination.write(offset, data);
        });
    }

    /** Compares the bytes with themselves, shifted by one: the JDK does that many at a time. */
    static boolean isZero(ByteBuf data) {
        int length = data.readableBytes();
        int start = data.readerIndex();
        if (length == 0) {
            return true;
        }
        if (data.getByte(start) != 0) {
            return false;
        }
        ByteBuffer bytes = data.nioBuffer();
        return bytes.slice(0, length - 1).mismatch(bytes.slice(1, length - 1)) < 0;
    }
}
