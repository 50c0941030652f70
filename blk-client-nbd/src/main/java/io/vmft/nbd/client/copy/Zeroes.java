package io.vmft.nbd.client.copy;

import io.netty.buffer.ByteBuf;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Finds zeroes in data. */
final class Zeroes {
    /** A part of a buffer, from its reader index on. */
    record Run(int index, int lengthBytes, boolean zero) {}

    private Zeroes() {}

    /**
     * Divides data into runs of zeroes and of others, in blocks that are aligned on the disk.
     *
     * @param offset where on the disk it is
     * @param blockBytes power of two; no run of zeroes is shorter, but at the ends
     */
    static List<Run> runs(ByteBuf data, long offset, int blockBytes) {
        int length = data.readableBytes();
        ByteBuffer bytes = data.nioBuffer();
        List<Run> runs = new ArrayList<>(1);
        int runStart = 0;
        boolean runZero = false;
        for (int index = 0; index < length; ) {
            int count = (int) Math.min(blockBytes - (offset + index) % blockBytes, length - index);
            boolean zero = isZero(bytes, index, count);
            if (index > runStart && zero != runZero) {
                runs.add(new Run(runStart, index - runStart, runZero));
                runStart = index;
            }
            runZero = zero;
            index += count;
        }
        runs.add(new Run(runStart, length - runStart, runZero));
        return runs;
    }

    /** Compares the bytes with themselves, shifted by one: the JDK does that many at a time. */
    static boolean isZero(ByteBuffer bytes, int index, int lengthBytes) {
        if (bytes.get(index) != 0 || bytes.get(index + lengthBytes - 1) != 0) {
            return false;
        }
        return bytes.slice(index, lengthBytes - 1).mismatch(bytes.slice(index + 1, lengthBytes - 1)) < 0;
    }
}
