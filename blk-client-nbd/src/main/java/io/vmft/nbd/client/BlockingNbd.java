package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * An {@link NbdClient} whose methods wait for the answer: for virtual threads, of which many may wait at a time. Thread-safe. Failures are
 * {@link IOException}s: {@link NbdRequestException} if the server answered with an error. An interrupted wait is an
 * {@link java.io.InterruptedIOException}; the request goes on.
 *
 * @param client stays the caller's, who closes it
 */
public record BlockingNbd(NbdClient client) {
    /** Reads any number of bytes. */
    public byte[] read(long offset, int lengthBytes) throws IOException {
        byte[] bytes = new byte[lengthBytes];
        int most = client.export().maximumPayloadBytes();
        for (int done = 0; done < lengthBytes; ) {
            int count = Math.min(most, lengthBytes - done);
            ByteBuf data = Waiting.get(client.read(offset + done, count));
            try {
                data.readBytes(bytes, done, count);
            } finally {
                data.release();
            }
            done += count;
        }
        return bytes;
    }

    /** Writes any number of bytes. */
    public void write(long offset, byte[] bytes, RequestFlag... flags) throws IOException {
        int most = client.export().maximumPayloadBytes();
        for (int done = 0; done < bytes.length; ) {
            int count = Math.min(most, bytes.length - done);
            Waiting.get(client.write(offset + done, Unpooled.wrappedBuffer(bytes, done, count), flags));
            done += count;
        }
    }

    public void flush() throws IOException {
        Waiting.get(client.flush());
    }

    public void trim(long offset, long lengthBytes, RequestFlag... flags) throws IOException {
        Waiting.get(client.trim(offset, lengthBytes, flags));
    }

    public void writeZeroes(long offset, long lengthBytes, RequestFlag... flags) throws IOException {
        Waiting.get(client.writeZeroes(offset, lengthBytes, flags));
    }

    public void cache(long offset, long lengthBytes) throws IOException {
        Waiting.get(client.cache(offset, lengthBytes));
    }

    /**
     * All extents of a range, neighbours of the same flags joined.
     *
     * @param context one of {@link NbdExport#contexts}
     */
    public List<Extent> extents(String context, long offset, long lengthBytes) throws IOException {
        List<Extent> extents = new ArrayList<>();
        long end = offset + lengthBytes;
        for (long position = offset; position < end; ) {
            List<Extent> some =
                    Waiting.get(client.blockStatus(position, end - position)).get(context);
            if (some == null) {
                throw new IOException("the server has no metadata context " + context);
            }
            some.forEach(extent -> append(extents, extent));
            position = some.getLast().end();
        }
        return extents;
    }

    private static void append(List<Extent> extents, Extent next) {
        if (!extents.isEmpty() && extents.getLast().flags() == next.flags()) {
            Extent last = extents.removeLast();
            extents.add(new Extent(last.offset(), last.lengthBytes() + next.lengthBytes(), last.flags()));
        } else {
            extents.add(next);
        }
    }
}
