package io.vmft.blk.file;

import io.vmft.blk.export.PipedData;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * A pipe of the operating system, through which a socket's bytes go into a file by {@code splice(2)}: the pages that the socket received
 * into are handed on, and copied once, into the page cache. Confined to whoever holds it; it may be handed to another thread.
 */
public final class Pipe implements PipedData, AutoCloseable {
    private static final int FLAGS = Libc.SPLICE_F_MOVE;

    /** A long for the kernel. */
    private final MemorySegment position;

    private final int out;
    private final int in;
    private int lengthBytes;
    private boolean open = true;

    private Pipe(MemorySegment position, int out, int in) {
        this.position = position;
        this.out = out;
        this.in = in;
    }

    /**
     * A pipe of at least this capacity in pages. What a socket received takes a page's place for each of its packets, however short, so that
     * fewer bytes may fit.
     *
     * @return null if there is none to be had
     */
    public static @Nullable Pipe open(int capacityBytes) {
        MemorySegment memory = Arena.ofAuto().allocate(ValueLayout.JAVA_LONG);
        if (Libc.pipe2(memory, Libc.O_CLOEXEC) < 0) {
            return null;
        }
        Pipe pipe =
                new Pipe(memory, memory.get(ValueLayout.JAVA_INT, 0), memory.get(ValueLayout.JAVA_INT, Integer.BYTES));
        if (Libc.fcntl(pipe.in, Libc.F_SETPIPE_SZ, capacityBytes) < capacityBytes) {
            pipe.close();
            return null;
        }
        return pipe;
    }

    /** Another descriptor of what {@code fd} is open on, to be closed by the caller; negative if there is none to be had. */
    public static int duplicate(int fd) {
        return Libc.fcntl(fd, Libc.F_DUPFD_CLOEXEC, 0);
    }

    /**
     * Takes what a non-blocking socket has received, without waiting.
     *
     * @return how much; 0: nothing, and nothing will come; negative: nothing, see {@link #mustWait}
     */
    public int fill(int socket, int maxBytes) {
        long count;
        do {
            count = Libc.splice(socket, in, MemorySegment.NULL, maxBytes, FLAGS | Libc.SPLICE_F_NONBLOCK);
        } while (count == -Libc.EINTR);
        if (count > 0) {
            lengthBytes += (int) count;
        }
        return (int) count;
    }

    /** Whether {@link #fill} brought nothing because there is nothing yet, or no room in the pipe. Otherwise the socket failed. */
    public static boolean mustWait(int filled) {
        return filled == -Libc.EAGAIN;
    }

    @Override
    public int lengthBytes() {
        return lengthBytes;
    }

    @Override
    public long moveTo(int fd, long filePosition) {
        position.set(ValueLayout.JAVA_LONG, 0, filePosition);
        long count = Libc.splice(out, fd, position, lengthBytes, FLAGS);
        if (count > 0) {
            lengthBytes -= (int) count;
        }
        return count;
    }

    /** Takes all that is left out of it, the usual way. {@code destination} is native and exactly as long. */
    public void read(MemorySegment destination) throws IOException {
        long done = 0;
        while (done < destination.byteSize()) {
            long count = Libc.read(out, destination.asSlice(done));
            if (count == -Libc.EINTR) {
                continue;
            }
            if (count <= 0) {
                throw new IOException("read of a pipe: " + (count == 0 ? "it ended" : Libc.message((int) -count)));
            }
            lengthBytes -= (int) count;
            done += count;
        }
    }

    /** Drops what is left. Closing again does nothing. */
    @Override
    public void close() {
        if (open) {
            open = false;
            lengthBytes = 0;
            Libc.close(in);
            Libc.close(out);
        }
    }
}
