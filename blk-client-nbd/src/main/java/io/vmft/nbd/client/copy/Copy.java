package io.vmft.nbd.client.copy;

import io.netty.buffer.ByteBuf;
import io.vmft.nbd.client.Extent;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.Waiting;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Copies one disk onto another: many pieces at a time, holes and runs of zeroes as zeroes. What the source says is a hole is not read;
 * what is read is searched for zeroes. The destination is the source's equal when {@link #run} returns, and safe. Used once, by one thread.
 */
public final class Copy implements AutoCloseable {
    /** How much of the source is described at a time. */
    private static final long DESCRIBED_BYTES = 4L << 30;
    /** Zeroes need no memory: one request may cover much, but the progress should move. */
    private static final long ZEROES_BYTES = 512L << 20;

    private static final int TELL_MILLIS = 100;

    private final CopySide source;
    private final CopySide destination;
    private final Settings settings;
    private final Semaphore room;
    private final AtomicLong doneBytes = new AtomicLong();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private final int smallestHoleBytes;

    /**
     * How to copy.
     *
     * @param requests how many pieces are under way at a time
     * @param requestBytes how long one is
     */
    public record Settings(int requests, int requestBytes) {
        public static final Settings DEFAULT = new Settings(32, 256 << 10);

        public Settings {
            if (requests < 1 || requests > 1024) {
                throw new IllegalArgumentException(requests + " requests; use 1 to 1024");
            }
            if (requestBytes < 4096 || requestBytes > 32 << 20 || Integer.bitCount(requestBytes) != 1) {
                throw new IllegalArgumentException(
                        "a request of " + requestBytes + " bytes; use a power of two from 4096 to 32M");
            }
        }
    }

    /** @param source and destination are closed with this */
    private Copy(CopySide source, CopySide destination, Settings settings) {
        this.source = source;
        this.destination = destination;
        this.settings = settings;
        this.room = new Semaphore(settings.requests());
        this.smallestHoleBytes = destination.smallestHoleBytes();
    }

    /** Where a copy begins or ends. */
    public sealed interface Place {
        /** An export; the client is closed with the copy. */
        record Export(NbdClient client) implements Place {}

        /** A file; as a destination it is made anew, and empty in the end if the copy fails. */
        record File(Path path) implements Place {}
    }

    /**
     * Opens both sides. Whatever happens, clients given are closed, here or by {@link #close}.
     *
     * @throws IOException if one cannot be opened, or the destination cannot take it; one line
     */
    public static Copy open(Place from, Place to, Settings settings) throws IOException {
        CopySide source = null;
        CopySide destination = null;
        boolean opened = false;
        try {
            source = switch (from) {
                case Place.Export(NbdClient client) -> new ExportSide(client);
                case Place.File(Path path) -> FileSide.source(path);
            };
            destination = switch (to) {
                case Place.Export(NbdClient client) -> fitting(client, source.sizeBytes());
                case Place.File(Path path) -> {
                    if (from instanceof Place.File(Path origin)
                            && Files.exists(path)
                            && Files.isSameFile(origin, path)) {
                        throw new IOException(path + " is the source itself");
                    }
                    yield FileSide.destination(path, source.sizeBytes());
                }
            };
            opened = true;
            return new Copy(source, destination, settings);
        } finally {
            if (!opened) {
                close(from);
                close(to);
                if (source instanceof FileSide file) {
                    file.close();
                }
            }
        }
    }

    private static void close(Place place) {
        if (place instanceof Place.Export(NbdClient client)) {
            client.close();
        }
    }

    private static ExportSide fitting(NbdClient client, long sizeBytes) throws IOException {
        String name = "the export \"" + client.export().name() + "\"";
        if (client.export().readOnly()) {
            throw new IOException(name + " is read-only");
        }
        if (client.export().sizeBytes() < sizeBytes) {
            throw new IOException(name + " holds " + client.export().sizeBytes() + " bytes, the source " + sizeBytes);
        }
        return new ExportSide(client);
    }

    public long sizeBytes() {
        return source.sizeBytes();
    }

    /**
     * Copies everything and flushes.
     *
     * @param progress told how many bytes are done, now and then and at the end, on the calling thread
     * @throws IOException the first that failed; by then nothing is under way any more
     */
    public void run(LongConsumer progress) throws IOException {
        try {
            for (long position = 0; position < sizeBytes() && failure.get() == null; ) {
                long most = Math.min(DESCRIBED_BYTES, sizeBytes() - position);
                for (Extent extent : source.extents(position, most)) {
                    copy(extent, progress);
                    position = extent.end();
                }
            }
        } finally {
            // After a failure, too: nothing may still run when the sides are closed.
            for (int i = 0; i < settings.requests(); i++) {
                enter(progress);
            }
        }
        Throwable cause = failure.get();
        if (cause != null) {
            throw cause instanceof IOException io ? io : new IOException(cause.getMessage(), cause);
        }
        Waiting.get(destination.flush());
        progress.accept(sizeBytes());
    }

    private void copy(Extent extent, LongConsumer progress) throws IOException {
        long most = extent.zero()
                ? ZEROES_BYTES
                : Math.min(
                        settings.requestBytes(),
                        Math.min(source.maximumRequestBytes(), destination.maximumRequestBytes()));
        for (long position = extent.offset(); position < extent.end() && failure.get() == null; ) {
            // Pieces end where requests would end if there were no extents: aligned.
            long count = Math.min(most - position % most, extent.end() - position);
            enter(progress);
            long offset = position;
            var _ = start(extent.zero(), offset, count).whenComplete((_, failed) -> {
                if (failed == null) {
                    doneBytes.addAndGet(count);
                } else {
                    failure.compareAndSet(null, Waiting.cause(failed));
                }
                room.release();
            });
            position += count;
        }
    }

    private CompletableFuture<Void> start(boolean zero, long offset, long count) {
        try {
            return zero
                    ? destination.writeZeroes(offset, count)
                    : source.read(offset, (int) count).thenCompose(data -> store(offset, data));
        } catch (RuntimeException e) {
            return CompletableFuture.failedFuture(e);
        }
    }

    /** Waits for room for one more, and tells how far it is meanwhile. */
    private void enter(LongConsumer progress) throws IOException {
        try {
            while (!room.tryAcquire(TELL_MILLIS, TimeUnit.MILLISECONDS)) {
                progress.accept(doneBytes.get());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    /** Writes what is data and zeroes what is zero. */
    private CompletableFuture<Void> store(long offset, ByteBuf data) {
        List<Zeroes.Run> runs = Zeroes.runs(data, offset, smallestHoleBytes);
        if (runs.size() == 1) {
            if (!runs.getFirst().zero()) {
                return destination.write(offset, data);
            }
            int count = data.readableBytes();
            data.release();
            return destination.writeZeroes(offset, count);
        }
        List<CompletableFuture<Void>> parts = new ArrayList<>(runs.size());
        int start = data.readerIndex();
        for (Zeroes.Run run : runs) {
            long at = offset + run.index();
            parts.add(
                    run.zero()
                            ? destination.writeZeroes(at, run.lengthBytes())
                            : destination.write(at, data.retainedSlice(start + run.index(), run.lengthBytes())));
        }
        data.release();
        return CompletableFuture.allOf(parts.toArray(CompletableFuture<?>[]::new));
    }

    @Override
    public void close() throws IOException {
        try (source;
                destination) {
            // both, whatever happens to the first
        }
    }
}
