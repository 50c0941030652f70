package io.vmft.engine.qmp;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Cuts a stream of bytes into lines of bounded length. Single-threaded. */
final class QmpLines {
    /** Longer than any answer of QEMU that the engine asks for. */
    static final int MAX_LINE_BYTES = 4 << 20;

    private static final int INITIAL_BYTES = 1 << 14;

    private byte[] bytes = new byte[INITIAL_BYTES];
    private int start;
    private int searched;
    private int end;

    /**
     * Reads until a whole line is there.
     *
     * @return the line without its end, or null if the stream ended between two lines
     * @throws IOException if it ended inside a line, or the line is longer than {@link #MAX_LINE_BYTES}
     */
    byte @Nullable [] next(ReadableByteChannel source) throws IOException {
        while (true) {
            for (; searched < end; searched++) {
                if (bytes[searched] == '\n') {
                    byte[] line = Arrays.copyOfRange(bytes, start, searched);
                    start = ++searched;
                    return line;
                }
            }
            makeRoom();
            int n = source.read(ByteBuffer.wrap(bytes, end, bytes.length - end));
            if (n < 0 && start == end) {
                return null;
            }
            if (n < 0) {
                throw new IOException("QEMU closed the connection inside a message");
            }
            end += n;
        }
    }

    private void makeRoom() throws IOException {
        if (end < bytes.length) {
            return;
        }
        int length = end - start;
        if (length >= MAX_LINE_BYTES) {
            throw new IOException("QEMU sent a message longer than " + MAX_LINE_BYTES + " bytes");
        }
        byte[] target = length > bytes.length / 2 ? new byte[bytes.length * 2] : bytes;
        System.arraycopy(bytes, start, target, 0, length);
        bytes = target;
        searched -= start;
        start = 0;
        end = length;
    }
}
