package io.vmft.nbd.client;

import io.netty.buffer.ByteBufAllocator;
import io.vmft.proto.nbd.NbdExtent;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;

/** A block status request: a chunk for each context. */
final class PendingStatus extends PendingRequest {
    private final CompletableFuture<Map<String, List<Extent>>> answer;
    private final Map<Integer, String> contexts;
    private final Map<String, List<Extent>> extents = new LinkedHashMap<>();
    private final long offset;
    private final long end;

    /** @param contexts by the number the server gave them */
    PendingStatus(
            NbdRequest.BlockStatus request,
            Map<Integer, String> contexts,
            CompletableFuture<Map<String, List<Extent>>> answer) {
        super(request);
        this.contexts = contexts;
        this.answer = answer;
        this.offset = request.offset();
        this.end = request.offset() + request.lengthBytes();
    }

    @Override
    void content(NbdReply reply, ByteBufAllocator allocator) throws IOException {
        if (!(reply instanceof NbdReply.BlockStatus status)) {
            throw notAskedFor(reply);
        }
        String context = contexts.get(status.contextId());
        if (context == null || extents.put(context, inside(status.extents())) != null) {
            throw new IOException("the server answered for metadata context " + status.contextId()
                    + (context == null ? ", which was not negotiated" : " twice"));
        }
    }

    /** The last extent may reach beyond what was asked. */
    private List<Extent> inside(List<NbdExtent> reported) throws IOException {
        List<Extent> inside = new ArrayList<>(reported.size());
        long position = offset;
        for (NbdExtent extent : reported) {
            if (position >= end) {
                throw new IOException("the server described more than it was asked for");
            }
            long length = Math.min(extent.lengthBytes(), end - position);
            inside.add(new Extent(position, length, extent.flags()));
            position += length;
        }
        return List.copyOf(inside);
    }

    @Override
    void succeed() throws IOException {
        if (extents.size() != contexts.size()) {
            throw new IOException(
                    "the server answered for " + extents.size() + " of " + contexts.size() + " metadata contexts");
        }
        answer.complete(extents);
    }

    @Override
    void fail(IOException cause) {
        answer.completeExceptionally(cause);
    }
}
