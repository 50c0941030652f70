package io.vmft.nbd.client.copy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.Extent;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.Waiting;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;

/** An NBD export. */
record ExportSide(NbdClient client) implements CopySide {
    private static final int ZEROES_BYTES = 1 << 20;
    private static final ByteBuf ZEROES =
            Unpooled.unreleasableBuffer(Unpooled.directBuffer(ZEROES_BYTES).writeZero(ZEROES_BYTES));

    @Override
    public long sizeBytes() {
        return client.export().sizeBytes();
    }

    @Override
    public int maximumRequestBytes() {
        return client.export().maximumPayloadBytes();
    }

    @Override
    public int smallestHoleBytes() {
        return 32 << 10;
    }

    @Override
    public List<Extent> extents(long offset, long lengthBytes) throws IOException {
        return client.export().contexts().contains(Extent.ALLOCATION)
                ? Objects.requireNonNull(
                        Waiting.get(client.blockStatus(offset, lengthBytes)).get(Extent.ALLOCATION))
                : List.of(new Extent(offset, lengthBytes, 0));
    }

    @Override
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        return client.read(offset, lengthBytes);
    }

    @Override
    public CompletableFuture<Void> write(long offset, ByteBuf data) {
        return client.write(offset, data);
    }

    @Override
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes) {
        return client.export().has(Nbd.FLAG_SEND_WRITE_ZEROES)
                ? client.writeZeroes(offset, lengthBytes)
                : writeThem(offset, lengthBytes);
    }

    /** For servers that have no request for it. */
    private CompletableFuture<Void> writeThem(long offset, long lengthBytes) {
        int count = (int) Math.min(lengthBytes, Math.min(ZEROES_BYTES, maximumRequestBytes()));
        CompletableFuture<Void> first = client.write(offset, ZEROES.retainedSlice(0, count));
        return count == lengthBytes ? first : first.thenCompose(_ -> writeThem(offset + count, lengthBytes - count));
    }

    @Override
    public CompletableFuture<Void> flush() {
        return client.export().has(Nbd.FLAG_SEND_FLUSH) ? client.flush() : CompletableFuture.completedFuture(null);
    }

    @Override
    public void close() {
        client.close();
    }
}
