package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerEncoder;
import java.io.IOException;
import java.util.List;

/**
 * Answers block status requests: one chunk for each context the client chose.
 *
 * @param contexts their numbers on the wire are {@link MetaContexts#id}
 * @param extents how many a reply may hold, of all contexts together
 */
record StatusReply(NbdHeaders headers, List<String> contexts, int extents) {
    /** The longest extent that fits in 32 bits and ends at no odd place. */
    private static final long MAX_COMPACT_BYTES = 0xffff_f000L;

    /** The most memory a reply takes. */
    int maxBytes() {
        return contexts.size() * NbdServerEncoder.statusBytes(perContext());
    }

    private int perContext() {
        return Math.max(1, extents / Math.max(1, contexts.size()));
    }

    /** Asks storage and appends the whole reply. The range lies inside the export and is not empty. */
    void append(NbdRequest.BlockStatus request, ExportView view, ByteBuf out) throws IOException {
        int limit = request.one() ? 1 : perContext();
        for (int i = 0; i < contexts.size(); i++) {
            List<BlockStatus> found = view.blockStatus(contexts.get(i), request.offset(), request.lengthBytes(), limit);
            boolean done = i == contexts.size() - 1;
            out.ensureWritable(NbdServerEncoder.statusBytes(found.size()));
            NbdServerEncoder.statusHeader(out, headers, request, done, MetaContexts.id(i), found.size());
            for (BlockStatus extent : found) {
                NbdServerEncoder.extent(out, headers, lengthOf(extent, request), extent.flags() & 0xffff_ffffL);
            }
        }
    }

    /** Only the last extent can be too long, or longer than the request: so nothing that follows it moves. */
    private long lengthOf(BlockStatus extent, NbdRequest.BlockStatus request) {
        long lengthBytes = request.one() ? Math.min(extent.lengthBytes(), request.lengthBytes()) : extent.lengthBytes();
        return headers == NbdHeaders.EXTENDED ? lengthBytes : Math.min(lengthBytes, MAX_COMPACT_BYTES);
    }
}
