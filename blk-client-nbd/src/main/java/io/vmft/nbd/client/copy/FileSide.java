package io.vmft.nbd.client.copy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.PooledByteBufAllocator;
import io.vmft.nbd.client.Extent;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.jspecify.annotations.Nullable;

/** A file, worked on by a few threads. */
final class FileSide implements CopySide {
    private static final int MAX_REQUEST_BYTES = 32 << 20;
    private static final int BLOCK_BYTES = 4096;

    private final FileChannel channel;
    private final long sizeBytes;
    /** Of a source. */
    private final @Nullable FileHoles holes;
    /** Of a destination. */
    private final @Nullable WriteBehind behind;

    /** Of a destination: all is written and safe. */
    private volatile boolean whole;

    private final ExecutorService threads = Executors.newFixedThreadPool(
            Math.clamp(Runtime.getRuntime().availableProcessors(), 2, 8),
            Thread.ofPlatform().name("file-", 0).daemon().factory());

    private FileSide(FileChannel channel, long sizeBytes, @Nullable FileHoles holes, @Nullable WriteBehind behind) {
        this.channel = channel;
        this.sizeBytes = sizeBytes;
        this.holes = holes;
        this.behind = behind;
    }

    static FileSide source(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            throw new IOException(path + " is a directory");
        }
        FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
        try {
            return new FileSide(channel, channel.size(), FileHoles.open(path), null);
        } catch (IOException e) {
            channel.close();
            throw e;
        }
    }

    /** Made anew, of this size. */
    static FileSide destination(Path path, long sizeBytes) throws IOException {
        if (Files.exists(path) && !Files.isRegularFile(path)) {
            throw new IOException(path + " is not a regular file");
        }
        Path folder = path.toAbsolutePath().getParent();
        if (folder != null && !Files.isDirectory(folder)) {
            throw new NoSuchFileException(folder.toString());
        }
        FileChannel channel = FileChannel.open(
                path, StandardOpenOption.WRITE, StandardOpenOption.CREATE, StandardOpenOption.TRUNCATE_EXISTING);
        try {
            if (sizeBytes > 0) {
                // At once: a file that grows with each piece is slower to write.
                channel.write(ByteBuffer.allocate(1), sizeBytes - 1);
            }
            return new FileSide(channel, sizeBytes, null, WriteBehind.openIfPossible(path));
        } catch (IOException e) {
            channel.close();
            throw e;
        }
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
    public int maximumRequestBytes() {
        return MAX_REQUEST_BYTES;
    }

    @Override
    public int smallestHoleBytes() {
        return BLOCK_BYTES;
    }

    @Override
    public List<Extent> extents(long offset, long lengthBytes) throws IOException {
        return holes == null ? List.of(new Extent(offset, lengthBytes, 0)) : List.of(holes.at(offset, lengthBytes));
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
            long position = offset;
            try {
                while (data.isReadable()) {
                    position += data.readBytes(channel, position, data.readableBytes());
                }
            } finally {
                data.release();
            }
            if (behind != null) {
                behind.written(offset, position - offset);
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
            channel.force(true);
            whole = true;
        });
    }

    /** A destination that was not made safe is left empty: of its full size it would look like the whole. */
    @Override
    public void close() throws IOException {
        threads.close();
        try (channel;
                holes;
                behind) {
            if (holes == null && !whole) {
                channel.truncate(0);
            }
        }
    }
}
