package io.vmft.nbd.client.copy;

import java.io.IOException;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Queue;
import org.jspecify.annotations.Nullable;

/**
 * Has what was written to a file go to its disk at once, and lets the page cache forget it there ({@code sync_file_range(2)},
 * {@code posix_fadvise(2)}). So a long copy neither drives everything else out of memory nor waits for all of its data in the end. It
 * promises nothing: only a sync makes the file safe, and tells of errors. Thread-safe.
 */
final class WriteBehind implements AutoCloseable {
    /** So much may be on its way to the disk before whoever writes more waits for the oldest. */
    private static final long MOST_BYTES = 32 << 20;

    /** Less is not worth a request to the disk of its own. */
    private static final int LEAST_BYTES = 64 << 10;

    private static final int START = 2;
    private static final int START_AND_WAIT = 1 | START | 4;
    private static final int DONT_NEED = 4;

    /** Descriptor, offset, length and flags or advice. */
    private static final FunctionDescriptor OF_A_RANGE = FunctionDescriptor.of(
            ValueLayout.JAVA_INT,
            ValueLayout.JAVA_INT,
            ValueLayout.JAVA_LONG,
            ValueLayout.JAVA_LONG,
            ValueLayout.JAVA_INT);

    private static final MethodHandle SYNC_RANGE = OwnDescriptor.function("sync_file_range", OF_A_RANGE);
    private static final MethodHandle ADVISE = OwnDescriptor.function("posix_fadvise", OF_A_RANGE);

    private record Range(long offset, long lengthBytes) {}

    private final OwnDescriptor file;
    private final Queue<Range> underWay = new ArrayDeque<>();
    private long underWayBytes;

    private WriteBehind(OwnDescriptor file) {
        this.file = file;
    }

    /** Null where the file cannot be opened to read it: it is written all the same. */
    static @Nullable WriteBehind openIfPossible(Path path) {
        try {
            return new WriteBehind(OwnDescriptor.open(path));
        } catch (IOException _) {
            return null;
        }
    }

    /** Takes note of what was written; little is left to the system. May wait for the disk. */
    void written(long offset, long lengthBytes) {
        if (lengthBytes < LEAST_BYTES) {
            return;
        }
        syncRange(offset, lengthBytes, START);
        for (Range oldest = add(offset, lengthBytes); oldest != null; oldest = takeOverMost()) {
            syncRange(oldest.offset(), oldest.lengthBytes(), START_AND_WAIT);
            advise(oldest.offset(), oldest.lengthBytes());
        }
    }

    private synchronized @Nullable Range add(long offset, long lengthBytes) {
        underWay.add(new Range(offset, lengthBytes));
        underWayBytes += lengthBytes;
        return takeOverMost();
    }

    private synchronized @Nullable Range takeOverMost() {
        if (underWayBytes <= MOST_BYTES) {
            return null;
        }
        Range oldest = underWay.remove();
        underWayBytes -= oldest.lengthBytes();
        return oldest;
    }

    private void syncRange(long offset, long lengthBytes, int flags) {
        try {
            int _ = (int) SYNC_RANGE.invokeExact(file.number(), offset, lengthBytes, flags);
        } catch (Throwable e) {
            throw new IllegalStateException("sync_file_range", e);
        }
    }

    private void advise(long offset, long lengthBytes) {
        try {
            int _ = (int) ADVISE.invokeExact(file.number(), offset, lengthBytes, DONT_NEED);
        } catch (Throwable e) {
            throw new IllegalStateException("posix_fadvise", e);
        }
    }

    @Override
    public void close() {
        file.close();
    }
}
