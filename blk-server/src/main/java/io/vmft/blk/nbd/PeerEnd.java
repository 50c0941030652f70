package io.vmft.blk.nbd;

import io.netty.channel.Channel;
import io.netty.channel.unix.UnixChannel;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;

/**
 * Asks the kernel whether a connection's peer has gone: {@code poll(2)}, which knows of an end of stream or a reset although what came
 * before is not read. Thread-safe.
 */
@SuppressWarnings("restricted") // a call into the C library
final class PeerEnd {
    private static final short POLLERR = 0x8;
    private static final short POLLHUP = 0x10;
    private static final short POLLRDHUP = 0x2000;

    private static final MemoryLayout POLLFD = MemoryLayout.structLayout(
            ValueLayout.JAVA_INT.withName("fd"),
            ValueLayout.JAVA_SHORT.withName("events"),
            ValueLayout.JAVA_SHORT.withName("revents"));
    private static final long EVENTS_OFFSET = 4;
    private static final long REVENTS_OFFSET = 6;

    private static final MethodHandle POLL = Linker.nativeLinker()
            .downcallHandle(
                    Linker.nativeLinker().defaultLookup().findOrThrow("poll"),
                    FunctionDescriptor.of(
                            ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));

    private PeerEnd() {}

    /** False says nothing: where sockets are not driven by epoll only what was read from them is known. */
    static boolean isKnown(Channel channel) {
        if (!channel.isActive()) {
            return true;
        }
        // The descriptor may be another socket's by now; but then the channel is not active any more.
        boolean ended =
                channel instanceof UnixChannel unix && hasEnded(unix.fd().intValue());
        return ended || !channel.isActive();
    }

    private static boolean hasEnded(int fd) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment poll = arena.allocate(POLLFD);
            poll.set(ValueLayout.JAVA_INT, 0, fd);
            poll.set(ValueLayout.JAVA_SHORT, EVENTS_OFFSET, POLLRDHUP);
            int ready = (int) POLL.invokeExact(poll, 1L, 0);
            int found = poll.get(ValueLayout.JAVA_SHORT, REVENTS_OFFSET);
            return ready > 0 && (found & (POLLERR | POLLHUP | POLLRDHUP)) != 0;
        } catch (Throwable e) {
            throw new IllegalStateException("poll", e);
        }
    }
}
