package io.vmft.nbd.client;

import io.netty.buffer.ByteBufAllocator;
import io.vmft.proto.nbd.NbdError;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** A request that was asked for and its answer as far as it has come. Confined to the connection's event loop. */
abstract sealed class PendingRequest permits PendingRead, PendingChange, PendingStatus {
    private final NbdRequest request;
    private @Nullable NbdRequestException failure;

    PendingRequest(NbdRequest request) {
        this.request = request;
    }

    final NbdRequest request() {
        return request;
    }

    /**
     * Takes in a reply or chunk; its buffer is taken over.
     *
     * @throws IOException if it cannot be an answer to this request
     */
    final void receive(NbdReply reply, ByteBufAllocator allocator) throws IOException {
        switch (reply) {
            case NbdReply.Simple(long _, NbdError error) -> {
                if (error != NbdError.OK) {
                    failure = new NbdRequestException(error, "");
                }
            }
            case NbdReply.None _ -> {}
            case NbdReply.Failure(long _, boolean _, NbdError error, String message) ->
                failure = new NbdRequestException(
                        error, message.lines().findFirst().orElse(""));
            case NbdReply.SimpleData _, NbdReply.Data _, NbdReply.Hole _, NbdReply.BlockStatus _ ->
                content(reply, allocator);
        }
        if (reply.done()) {
            if (failure != null) {
                fail(failure);
            } else {
                succeed();
            }
        }
    }

    /** Takes in what is more than success or failure; a buffer is taken over. */
    abstract void content(NbdReply reply, ByteBufAllocator allocator) throws IOException;

    /** Everything has come. */
    abstract void succeed() throws IOException;

    abstract void fail(IOException cause);

    static IOException notAskedFor(NbdReply reply) {
        release(reply);
        return new IOException("the server answered with bytes that were not asked for");
    }

    static void release(NbdReply reply) {
        switch (reply) {
            case NbdReply.Data data -> data.data().release();
            case NbdReply.SimpleData data -> data.data().release();
            case NbdReply.Simple _, NbdReply.None _, NbdReply.Hole _, NbdReply.BlockStatus _, NbdReply.Failure _ -> {}
        }
    }
}
