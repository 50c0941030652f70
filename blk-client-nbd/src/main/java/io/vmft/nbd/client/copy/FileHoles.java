package io.vmft.nbd.client.copy;

import io.vmft.nbd.client.Extent;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * Where a file has holes: {@code lseek} with {@code SEEK_DATA} and {@code SEEK_HOLE} (lseek(2)) on a descriptor of its own, for which
 * Java has no method. Where a file system cannot tell, everything is data. Not thread-safe.
 */
final class FileHoles implements AutoCloseable {
    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;
    private static final long HOLE_AND_ZERO = 3;
    private static final int O_RDONLY_CLOEXEC = 0x80000;

    private static final MethodHandle OPEN = function(
            "open",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle SEEK = function(
            "lseek",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));
    private static final MethodHandle CLOSE =
            function("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

    private final int descriptor;

    private FileHoles(int descriptor) {
        this.descriptor = descriptor;
    }

    @SuppressWarnings("restricted") // the C library's own functions, with the types of its headers
    private static MethodHandle function(String name, FunctionDescriptor type, Linker.Option... options) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type, options);
    }

    static FileHoles open(Path path) throws IOException {
        int descriptor;
        try (Arena arena = Arena.ofConfined()) {
            descriptor = (int) OPEN.invokeExact(arena.allocateFrom(path.toString()), O_RDONLY_CLOEXEC);
        } catch (Throwable e) {
            throw new IllegalStateException("open", e);
        }
        if (descriptor < 0) {
            throw new IOException(path + " cannot be opened");
        }
        return new FileHoles(descriptor);
    }

    /** The first extent of the range: a hole, or data up to the next hole. */
    Extent at(long offset, long lengthBytes) {
        long data = seek(offset, SEEK_DATA);
        if (data > offset) {
            return new Extent(offset, Math.min(data - offset, lengthBytes), HOLE_AND_ZERO);
        }
        long hole = seek(offset, SEEK_HOLE);
        if (data < 0 && hole >= 0) {
            return new Extent(offset, lengthBytes, HOLE_AND_ZERO); // no data behind it: ENXIO
        }
        return new Extent(offset, hole <= offset ? lengthBytes : Math.min(hole - offset, lengthBytes), 0);
    }

    private long seek(long offset, int whence) {
        try {
            return (long) SEEK.invokeExact(descriptor, offset, whence);
        } catch (Throwable e) {
            throw new IllegalStateException("lseek", e);
        }
    }

    @Override
    public void close() {
        try {
            int _ = (int) CLOSE.invokeExact(descriptor);
        } catch (Throwable e) {
            throw new IllegalStateException("close", e);
        }
    }
}
