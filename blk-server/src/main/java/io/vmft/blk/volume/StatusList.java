package io.vmft.blk.volume;

import io.vmft.blk.export.BlockStatus;
import java.util.ArrayList;
import java.util.List;

/**
 * Gathers the answer to one block status request: joins neighbours with equal flags, and stops at a number of extents or of
 * steps, whichever comes first. Not thread-safe.
 */
final class StatusList {
    /** More than any answer needs that a client asks for, few enough to be done in milliseconds. */
    private static final int MAX_STEPS = 1 << 16;

    private final List<BlockStatus> extents = new ArrayList<>();
    private final int limit;
    private final long end;
    private long at;
    private long pendingBytes;
    private int pendingFlags;
    private int stepsLeft = MAX_STEPS;

    StatusList(long offset, long lengthBytes, int limit) {
        this.at = offset;
        this.end = offset + lengthBytes;
        this.limit = limit;
    }

    /** Where the next stretch begins. */
    long at() {
        return at;
    }

    long end() {
        return end;
    }

    /** Whether the answer is whole, or as long as it may get. */
    boolean isDone() {
        return at >= end || extents.size() >= limit || (stepsLeft <= 0 && pendingBytes > 0);
    }

    /** Adds what is from {@link #at} to {@code until} or the end. */
    void addUntil(long until, int flags) {
        if (extents.size() >= limit) {
            return;
        }
        stepsLeft--;
        long bytes = Math.min(until, end) - at;
        if (bytes <= 0) {
            return;
        }
        if (pendingBytes > 0 && pendingFlags != flags) {
            extents.add(new BlockStatus(pendingBytes, pendingFlags));
            pendingBytes = 0;
            if (isDone()) {
                return;
            }
        }
        pendingBytes += bytes;
        pendingFlags = flags;
        at += bytes;
    }

    /** The answer. Nothing may be added afterwards. */
    List<BlockStatus> finish() {
        if (pendingBytes > 0 && extents.size() < limit) {
            extents.add(new BlockStatus(pendingBytes, pendingFlags));
        }
        return extents;
    }
}
