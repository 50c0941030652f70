package io.vmft.blk.nbd;

import io.vmft.blk.file.Pipe;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * The pipes of a server, each for one piece of a long write. Who gets none receives into its own memory. Thread-safe.
 *
 * <p>There are few, because a pipe costs two descriptors, and a client that sends short packets makes it hold a page for each.
 */
final class Pipes implements AutoCloseable {
    private static final int MAX = 32;
    /** Enough that a piece fits although its packets are short: a page for each of them. As much as any user may have. */
    private static final int CAPACITY_BYTES = 4 * NbdServerDecoder.PIECE_BYTES;

    private final Queue<Pipe> idle = new ConcurrentLinkedQueue<>();
    /** Pipes that are open, here or with somebody. */
    private final AtomicInteger open = new AtomicInteger();

    private volatile boolean closed;

    /** An empty pipe, to be given back; null if there is none to be had. */
    @Nullable
    Pipe take() {
        Pipe pipe = idle.poll();
        if (pipe != null) {
            return pipe;
        }
        if (open.incrementAndGet() <= MAX) {
            pipe = Pipe.open(CAPACITY_BYTES);
        }
        if (pipe == null) {
            open.decrementAndGet();
        }
        return pipe;
    }

    /** Takes a pipe back, and drops what is in it. */
    void giveBack(Pipe pipe) {
        if (pipe.lengthBytes() > 0 || closed) {
            close(pipe);
        } else {
            idle.add(pipe);
        }
    }

    private void close(Pipe pipe) {
        pipe.close();
        open.decrementAndGet();
    }

    /** Nobody takes any more; those that are given back later are closed then. */
    @Override
    public void close() {
        closed = true;
        for (Pipe pipe = idle.poll(); pipe != null; pipe = idle.poll()) {
            close(pipe);
        }
    }
}
