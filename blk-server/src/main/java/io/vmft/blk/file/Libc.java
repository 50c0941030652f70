package io.vmft.blk.file;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.StructLayout;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;

/**
 * The C library's calls, as they are: a negative result is {@code -errno}. {@link java.nio.channels.FileChannel} would not do: an
 * interrupted thread closes it for everybody, it has no positioned gathering write, and no holes.
 *
 * <p>Symbols are looked up the way the dynamic linker binds a program's own calls, so that a preloaded library sees them.
 */
// Calling C is what this class is for; the descriptors are checked against the manual pages here and nowhere else.
@SuppressWarnings("restricted")
final class Libc {
    static final int EINTR = 4;
    static final int ENXIO = 6;
    static final int EBUSY = 16;
    static final int EINVAL = 22;
    static final int ENOSPC = 28;
    static final int EDQUOT = 122;
    static final int ENOSYS = 38;
    static final int EOPNOTSUPP = 95;

    static final int O_RDONLY = 0;
    static final int O_RDWR = 2;
    static final int O_CREAT = 0100;
    static final int O_EXCL = 0200;
    static final int O_DIRECTORY = 0200000;
    static final int O_CLOEXEC = 02000000;
    static final int O_TMPFILE = 020000000 | O_DIRECTORY;

    static final int FALLOC_FL_KEEP_SIZE = 1;
    static final int FALLOC_FL_PUNCH_HOLE = 2;
    static final int FALLOC_FL_ZERO_RANGE = 16;

    static final int SEEK_DATA = 3;
    static final int SEEK_HOLE = 4;
    private static final int POSIX_FADV_WILLNEED = 3;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final StructLayout CAPTURE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = CAPTURE.varHandle(MemoryLayout.PathElement.groupElement("errno"));
    private static final Linker.Option CAPTURE_ERRNO = Linker.Option.captureCallState("errno");

    /** One errno slot a thread; lives as long as the thread. */
    private static final ThreadLocal<MemorySegment> CAPTURED =
            ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(CAPTURE));

    private static final MethodHandle DLSYM = LINKER.downcallHandle(
            LINKER.defaultLookup().findOrThrow("dlsym"), FunctionDescriptor.of(ADDRESS, ADDRESS, ADDRESS));

    private static final MethodHandle OPEN = LINKER.downcallHandle(
            symbol("open"),
            FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT, JAVA_INT),
            CAPTURE_ERRNO,
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle CLOSE = handle("close", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle PREAD =
            handle("pread", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle PWRITE =
            handle("pwrite", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle PWRITEV =
            handle("pwritev", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_INT, JAVA_LONG));
    private static final MethodHandle FDATASYNC = handle("fdatasync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle FSYNC = handle("fsync", FunctionDescriptor.of(JAVA_INT, JAVA_INT));
    private static final MethodHandle FALLOCATE =
            handle("fallocate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG));
    private static final MethodHandle FTRUNCATE =
            handle("ftruncate", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG));
    private static final MethodHandle LSEEK =
            handle("lseek", FunctionDescriptor.of(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_INT));
    private static final MethodHandle POSIX_FADVISE =
            handle("posix_fadvise", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_INT));
    private static final MethodHandle STRERROR = LINKER.downcallHandle(
            symbol("strerror"),
            FunctionDescriptor.of(ADDRESS.withTargetLayout(MemoryLayout.sequenceLayout(256, JAVA_BYTE)), JAVA_INT));

    private static final int SEEK_END = 2;

    private Libc() {}

    static int open(String path, int flags, int mode) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment errno = CAPTURED.get();
            int result = (int) OPEN.invokeExact(errno, arena.allocateFrom(path), flags, mode);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    static int close(int fd) {
        return call(CLOSE, fd);
    }

    static int fdatasync(int fd) {
        return call(FDATASYNC, fd);
    }

    static int fsync(int fd) {
        return call(FSYNC, fd);
    }

    static long pread(int fd, MemorySegment buffer, long position) {
        return transfer(PREAD, fd, buffer, position);
    }

    static long pwrite(int fd, MemorySegment buffer, long position) {
        return transfer(PWRITE, fd, buffer, position);
    }

    static long pwritev(int fd, MemorySegment vectors, int count, long position) {
        try {
            MemorySegment errno = CAPTURED.get();
            long result = (long) PWRITEV.invokeExact(errno, fd, vectors, count, position);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    static int fallocate(int fd, int mode, long position, long lengthBytes) {
        try {
            MemorySegment errno = CAPTURED.get();
            int result = (int) FALLOCATE.invokeExact(errno, fd, mode, position, lengthBytes);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    static int ftruncate(int fd, long sizeBytes) {
        try {
            MemorySegment errno = CAPTURED.get();
            int result = (int) FTRUNCATE.invokeExact(errno, fd, sizeBytes);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /** The size of a regular file or a block device. */
    static long size(int fd) {
        return seek(fd, 0, SEEK_END);
    }

    /** Moves the descriptor's offset, which positioned calls do not use. */
    static long seek(int fd, long position, int whence) {
        try {
            MemorySegment errno = CAPTURED.get();
            long result = (long) LSEEK.invokeExact(errno, fd, position, whence);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    static void willNeed(int fd, long position, long lengthBytes) {
        try {
            MemorySegment errno = CAPTURED.get();
            int _ = (int) POSIX_FADVISE.invokeExact(errno, fd, position, lengthBytes, POSIX_FADV_WILLNEED);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    static String message(int errno) {
        try {
            MemorySegment text = (MemorySegment) STRERROR.invokeExact(errno);
            return text.getString(0);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    private static int call(MethodHandle handle, int fd) {
        try {
            MemorySegment errno = CAPTURED.get();
            int result = (int) handle.invokeExact(errno, fd);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    private static long transfer(MethodHandle handle, int fd, MemorySegment buffer, long position) {
        try {
            MemorySegment errno = CAPTURED.get();
            long result = (long) handle.invokeExact(errno, fd, buffer, buffer.byteSize(), position);
            return result >= 0 ? result : -(int) ERRNO.get(errno, 0L);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    private static MethodHandle handle(String name, FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(symbol(name), descriptor, CAPTURE_ERRNO);
    }

    private static MemorySegment symbol(String name) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment found = (MemorySegment) DLSYM.invokeExact(MemorySegment.NULL, arena.allocateFrom(name));
            if (found.address() == 0) {
                throw new UnsatisfiedLinkError(name);
            }
            return found;
        } catch (UnsatisfiedLinkError e) {
            throw e;
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
