package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** A read: pieces and holes in any order. */
final class PendingRead extends PendingRequest {
    private final CompletableFuture<ByteBuf> answer;
    private final long offset;
    private final int lengthBytes;
    private @Nullable ByteBuf assembled;
    private int coveredBytes;

    PendingRead(NbdRequest.Read request, CompletableFuture<ByteBuf> answer) {
        super(request);
        this.answer = answer;
        this.offset = request.offset();
        this.lengthBytes = request.lengthBytes();
    }

    @Override
    void content(NbdReply reply, ByteBufAllocator allocator) throws IOException {
        switch (reply) {
            case NbdReply.SimpleData(long _, ByteBuf data) -> {
                assembled = data;
                coveredBytes = data.readableBytes();
            }
            case NbdReply.Data(long _, boolean done, long at, ByteBuf data) -> data(done, at, data, allocator);
            case NbdReply.Hole(long _, boolean _, long at, long holeBytes) -> {
                int index = index(at, holeBytes);
                whole(allocator).setZero(index, (int) holeBytes);
                coveredBytes += (int) holeBytes;
            }
            case NbdReply.Simple _, NbdReply.None _, NbdReply.Failure _, NbdReply.BlockStatus _ ->
                throw notAskedFor(reply);
        }
    }

    private void data(boolean done, long at, ByteBuf data, ByteBufAllocator allocator) throws IOException {
        if (done && coveredBytes == 0 && at == offset && data.readableBytes() == lengthBytes) {
            assembled = data;
            coveredBytes = lengthBytes;
            return;
        }
        try {
            int index = index(at, data.readableBytes());
            coveredBytes += data.readableBytes();
            whole(allocator).setBytes(index, data);
        } finally {
            data.release();
        }
    }

    /** Where bytes of the export belong in the read's buffer. */
    private int index(long at, long pieceBytes) throws IOException {
        if (at < offset || pieceBytes > lengthBytes - coveredBytes || at - offset > lengthBytes - pieceBytes) {
            throw new IOException("the server answered with bytes that were not asked for");
        }
        return (int) (at - offset);
    }

    private ByteBuf whole(ByteBufAllocator allocator) {
        if (assembled == null) {
            assembled = allocator.directBuffer(lengthBytes, lengthBytes).writerIndex(lengthBytes);
        }
        return assembled;
    }

    @Override
    void succeed() throws IOException {
        if (coveredBytes != lengthBytes) {
            throw new IOException("the server answered a read of " + lengthBytes + " bytes with " + coveredBytes);
        }
        ByteBuf data = assembled == null ? Unpooled.EMPTY_BUFFER : assembled;
        assembled = null;
        if (!answer.complete(data)) {
            data.release(); // cancelled: nobody takes it
        }
    }

    @Override
    void fail(IOException cause) {
        if (assembled != null) {
            assembled.release();
            assembled = null;
        }
        answer.completeExceptionally(cause);
    }
}
