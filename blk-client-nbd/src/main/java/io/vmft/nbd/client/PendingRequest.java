package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufAllocator;
import io.netty.buffer.Unpooled;
import io.vmft.proto.nbd.NbdError;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** A request that was asked for and its answer as far as it has come. Confined to the connection's event loop. */
final class PendingRequest {
    private final NbdRequest request;
    /** A read's data, which goes to whoever waits; an empty buffer for other requests. */
    private final CompletableFuture<ByteBuf> answer;

    private @Nullable ByteBuf assembled;
    private int coveredBytes;
    private @Nullable NbdRequestException failure;

    PendingRequest(NbdRequest request, CompletableFuture<ByteBuf> answer) {
        this.request = request;
        this.answer = answer;
    }

    NbdRequest request() {
        return request;
    }

    int readBytes() {
        return request instanceof NbdRequest.Read read ? read.lengthBytes() : 0;
    }

    /**
     * Takes in a reply or chunk; its buffer is taken over.
     *
     * @throws IOException if it cannot be an answer to this request
     */
    void receive(NbdReply reply, ByteBufAllocator allocator) throws IOException {
        switch (reply) {
            case NbdReply.Simple(long _, NbdError error) -> {
                if (error != NbdError.OK) {
                    failure = new NbdRequestException(error, "");
                }
            }
            case NbdReply.SimpleData(long _, ByteBuf data) -> {
                assembled = data;
                coveredBytes = data.readableBytes();
            }
            case NbdReply.None _ -> {}
            case NbdReply.BlockStatus _ ->
                throw new IOException("the server told a block status that was not asked for");
            case NbdReply.Data(long _, boolean done, long offset, ByteBuf data) -> data(done, offset, data, allocator);
            case NbdReply.Hole(long _, boolean _, long offset, long lengthBytes) -> {
                int index = index(offset, lengthBytes);
                whole(allocator).setZero(index, (int) lengthBytes);
                coveredBytes += (int) lengthBytes;
            }
            case NbdReply.Failure(long _, boolean _, NbdError error, String message) ->
                failure = new NbdRequestException(
                        error, message.lines().findFirst().orElse(""));
        }
        if (reply.done()) {
            finish();
        }
    }

    private void data(boolean done, long offset, ByteBuf data, ByteBufAllocator allocator) throws IOException {
        if (done && coveredBytes == 0 && data.readableBytes() == readBytes()) {
            assembled = data;
            coveredBytes = data.readableBytes();
            return;
        }
        try {
            int index = index(offset, data.readableBytes());
            coveredBytes += data.readableBytes();
            whole(allocator).setBytes(index, data);
        } finally {
            data.release();
        }
    }

    /** Where bytes of the export belong in the read's buffer. */
    private int index(long offset, long lengthBytes) throws IOException {
        if (!(request instanceof NbdRequest.Read read)
                || offset < read.offset()
                || lengthBytes > read.lengthBytes() - coveredBytes
                || offset - read.offset() > read.lengthBytes() - lengthBytes) {
            throw new IOException("the server answered with bytes that were not asked for");
        }
        return (int) (offset - read.offset());
    }

    private ByteBuf whole(ByteBufAllocator allocator) {
        if (assembled == null) {
            assembled = allocator.directBuffer(readBytes(), readBytes()).writerIndex(readBytes());
        }
        return assembled;
    }

    private void finish() throws IOException {
        if (failure != null) {
            fail(failure);
        } else if (coveredBytes != readBytes()) {
            throw new IOException("the server answered a read of " + readBytes() + " bytes with " + coveredBytes);
        } else {
            ByteBuf data = assembled == null ? Unpooled.EMPTY_BUFFER : assembled;
            assembled = null;
            if (!answer.complete(data)) {
                data.release(); // cancelled: nobody takes it
            }
        }
    }

    void fail(IOException cause) {
        if (assembled != null) {
            assembled.release();
            assembled = null;
        }
        answer.completeExceptionally(cause);
    }
}
