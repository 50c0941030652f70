package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import java.util.concurrent.CompletableFuture;

/** An NBD export. */
record ExportEndpoint(NbdClient client) implements Endpoint {
    @Override
    public long sizeBytes() {
        return client.export().sizeBytes();
    }

    @Override
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        return client.read(offset, lengthBytes);
    }

    @Override
    public CompletableFuture<Void> write(long offset, ByteBuf data) {
        return client.write(offset, data, false);
    }

    @Override
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes) {
        return client.writeZeroes(offset, lengthBytes);
    }

    @Override
    public CompletableFuture<Void> flush() {
        return client.flush();
    }

    @Override
    public void close() {
        client.close();
    }
}
