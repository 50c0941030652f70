package io.vmft.engine.net;

import io.vmft.proto.checkpoint.NetFrames;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.ReadableByteChannel;

/**
 * Cuts what QEMU's {@code -netdev stream} sends into frames. Single-threaded.
 *
 * <pre>
 *   0        4                4+length
 *   +--------+----------------+--
 *   | length | Ethernet frame | next length …      length: unsigned, big-endian
 *   +--------+----------------+--
 * </pre>
 *
 * <p>Source: QEMU, {@code net/stream.c} and {@code net_fill_rstate} in {@code net/net.c}.
 */
final class StreamFrames {
    static final int HEADER_BYTES = 4;

    /** QEMU's {@code NET_BUFSIZE}: it sends no frame that is longer. */
    static final int MAX_FRAME_BYTES = NetFrames.MAX_FRAME_BYTES;

    static final ValueLayout.OfInt LENGTH = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    private final MemorySegment memory;
    private final ByteBuffer buffer;
    private long start;
    private long end;
    private int frameLengthBytes;

    /** Uses {@code memory}, at least one header and frame of the greatest length; it stays the caller's. */
    StreamFrames(MemorySegment memory) {
        if (memory.byteSize() < HEADER_BYTES + MAX_FRAME_BYTES) {
            throw new IllegalArgumentException("room for " + memory.byteSize() + " bytes is less than one frame");
        }
        this.memory = memory;
        this.buffer = memory.asByteBuffer();
    }

    /**
     * Moves to the next frame, reading as often as needed. The frame before is gone.
     *
     * @return false if the stream ended between two frames
     * @throws IOException if it ended inside one, or a length is out of range
     */
    boolean next(ReadableByteChannel source) throws IOException {
        start += frameLengthBytes;
        frameLengthBytes = 0;
        if (!fill(source, HEADER_BYTES)) {
            return false;
        }
        int length = memory.get(LENGTH, start);
        if (length <= 0 || length > MAX_FRAME_BYTES) {
            throw new IOException("QEMU sent a frame of " + Integer.toUnsignedString(length)
                    + " bytes; frames have 1 to " + MAX_FRAME_BYTES);
        }
        if (!fill(source, HEADER_BYTES + length)) {
            throw new IOException("QEMU closed the connection inside a frame");
        }
        start += HEADER_BYTES;
        frameLengthBytes = length;
        return true;
    }

    MemorySegment memory() {
        return memory;
    }

    /** Where the frame begins in {@link #memory}. */
    long frameOffset() {
        return start;
    }

    int frameLengthBytes() {
        return frameLengthBytes;
    }

    /** Makes {@code count} bytes from {@code start} on available; false if the stream ended with none of them. */
    private boolean fill(ReadableByteChannel source, int count) throws IOException {
        if (start + count > memory.byteSize() || start == end) {
            MemorySegment.copy(memory, start, memory, 0, end - start);
            end -= start;
            start = 0;
        }
        while (end - start < count) {
            buffer.limit(buffer.capacity()).position((int) end);
            int n = source.read(buffer);
            if (n < 0) {
                if (end == start) {
                    return false;
                }
                throw new IOException("QEMU closed the connection inside a frame");
            }
            end += n;
        }
        return true;
    }
}
