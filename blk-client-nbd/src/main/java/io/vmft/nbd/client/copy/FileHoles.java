package io.vmft.nbd.client.copy;

import io.vmft.nbd.client.Extent;
import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/**
 * Where a file has holes: {@code lseek} with {@code SEEK_DATA} and {@code SEEK_HOLE} (lseek(2)). Where a file system cannot tell, everything is data. Not thread-safe.
 */
final class FileHoles implements AutoCloseable {
    private static final int SEEK_DATA = 3;
    private static final int SEEK_HOLE = 4;
    private static final long HOLE_AND_ZERO = 3;

    private static final MethodHandle SEEK = OwnDescriptor.function(
            "lseek",
            FunctionDescriptor.of(
                    ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT, ValueLayout.JAVA_LONG, ValueLayout.JAVA_INT));
    private final OwnDescriptor file;

    private FileHoles(OwnDescriptor file) {
        this.file = file;
    }

    static FileHoles open(Path path) throws IOException {
        return new FileHoles(OwnDescriptor.open(path));
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
            return (long) SEEK.invokeExact(file.number(), offset, whence);
        } catch (Throwable e) {
            throw new IllegalStateException("lseek", e);
        }
    }

    @Override
    public void close() {
        file.close();
    }
}
