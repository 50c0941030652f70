package io.vmft.engine.net;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * The system calls a tap needs, through the foreign function interface. Each returns what the call returned, or the negative
 * errno if that was -1. Thread-safe.
 */
@SuppressWarnings("restricted") // Calling C is what this class is for.
final class LibC {
    static final int EPERM = 1;
    static final int ENOENT = 2;
    static final int EINTR = 4;
    static final int EIO = 5;
    static final int EAGAIN = 11;
    static final int ENOMEM = 12;
    static final int EACCES = 13;
    static final int EBUSY = 16;
    static final int ENODEV = 19;
    static final int EINVAL = 22;
    static final int ENXIO = 6;
    static final int ENOBUFS = 105;

    static final int O_RDWR = 2;
    static final int O_NONBLOCK = 0x800;
    static final int O_CLOEXEC = 0x80000;
    static final int EFD_CLOEXEC = 0x80000;
    static final int AF_INET = 2;
    static final int SOCK_DGRAM_CLOEXEC = 2 | 0x80000;
    static final short POLLIN = 1;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final SymbolLookup SYMBOLS = LINKER.defaultLookup();
    private static final MemoryLayout STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
    private static final ThreadLocal<MemorySegment> CAPTURED =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(STATE));

    private static final MethodHandle OPEN = variadic("open", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT), 2);
    private static final MethodHandle IOCTL =
            variadic("ioctl", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS), 2);
    private static final MethodHandle READ =
            handle("read", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle WRITE =
            handle("write", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG));
    private static final MethodHandle POLL =
            handle("poll", FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_LONG, JAVA_INT));
    private static final MethodHandle CLOSE = handle("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle EVENTFD = handle("eventfd", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle SOCKET =
            handle("socket", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));
    private static final MethodHandle STRERROR =
            LINKER.downcallHandle(SYMBOLS.findOrThrow("strerror"), FunctionDescriptor.of(ADDRESS, JAVA_INT));

    private LibC() {}

    static int open(MemorySegment path, int flags) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) OPEN.invokeExact(state, path, flags), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int ioctl(int fd, long request, MemorySegment argument) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) IOCTL.invokeExact(state, fd, request, argument), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long read(int fd, MemorySegment buffer, long count) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((long) READ.invokeExact(state, fd, buffer, count), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static long write(int fd, MemorySegment buffer, long count) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((long) WRITE.invokeExact(state, fd, buffer, count), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int poll(MemorySegment fds, long count, int timeoutMillis) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) POLL.invokeExact(state, fds, count, timeoutMillis), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int close(int fd) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) CLOSE.invokeExact(state, fd), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int eventfd(int initial, int flags) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) EVENTFD.invokeExact(state, initial, flags), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static int socket(int domain, int type, int protocol) {
        MemorySegment state = CAPTURED.get();
        try {
            return result((int) SOCKET.invokeExact(state, domain, type, protocol), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** The C library's words for an errno. */
    static String words(int errno) {
        try {
            MemorySegment text = (MemorySegment) STRERROR.invokeExact(errno);
            return text.reinterpret(256).getString(0);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static int result(int returned, MemorySegment state) {
        return returned == -1 ? -(int) ERRNO.get(state, 0L) : returned;
    }

    private static long result(long returned, MemorySegment state) {
        return returned == -1 ? -(int) ERRNO.get(state, 0L) : returned;
    }

    private static MethodHandle handle(String name, FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(SYMBOLS.findOrThrow(name), descriptor, Linker.Option.captureCallState("errno"));
    }

    private static MethodHandle variadic(String name, FunctionDescriptor descriptor, int firstVariadic) {
        return LINKER.downcallHandle(
                SYMBOLS.findOrThrow(name),
                descriptor,
                Linker.Option.captureCallState("errno"),
                Linker.Option.firstVariadicArg(firstVariadic));
    }

    private static RuntimeException unexpected(Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(e);
    }
}
