package io.vmft.nbd.client;

import io.netty.buffer.ByteBufAllocator;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.concurrent.CompletableFuture;

/** A request that is answered with success or failure alone. */
final class PendingChange extends PendingRequest {
    private final CompletableFuture<Void> answer;

    PendingChange(NbdRequest request, CompletableFuture<Void> answer) {
        super(request);
        this.answer = answer;
    }

    @Override
    void content(NbdReply reply, ByteBufAllocator allocator) throws IOException {
        throw notAskedFor(reply);
    }

    @Override
    @SuppressWarnings("NullAway") // a Void is null
    void succeed() {
        answer.complete(null);
    }

    @Override
    void fail(IOException cause) {
        answer.completeExceptionally(cause);
    }
}
