package io.vmft.blk.nbd;

import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdOptionReply;
import java.util.ArrayList;
import java.util.List;

/** What a client is told of an export. */
final class ExportInfo {
    private static final int PREFERRED_BLOCK_BYTES = 4096;

    private ExportInfo() {}

    /**
     * The whole answer to {@code OPT_INFO} or {@code OPT_GO}.
     *
     * @param wanted {@code INFO_…} the client asked for; unknown ones are ignored
     */
    static List<NbdOptionReply> replies(
            int option, String name, List<Integer> wanted, ExportView view, NbdHeaders headers) {
        List<NbdOptionReply> replies = new ArrayList<>();
        replies.add(new NbdOptionReply.Export(option, view.sizeBytes(), flags(view, headers)));
        if (wanted.contains(Nbd.INFO_NAME)) {
            replies.add(new NbdOptionReply.Name(option, name));
        }
        if (wanted.contains(Nbd.INFO_DESCRIPTION)) {
            replies.add(new NbdOptionReply.Description(option, view.description()));
        }
        if (wanted.contains(Nbd.INFO_BLOCK_SIZE)) {
            replies.add(new NbdOptionReply.BlockSize(option, 1, PREFERRED_BLOCK_BYTES, Nbd.MAX_PAYLOAD_BYTES));
        }
        replies.add(new NbdOptionReply.Ack(option));
        return replies;
    }

    /** The transmission flags. */
    static int flags(ExportView view, NbdHeaders headers) {
        int flags = Nbd.FLAG_HAS_FLAGS
                | Nbd.FLAG_SEND_FLUSH
                | Nbd.FLAG_SEND_FUA
                | Nbd.FLAG_SEND_TRIM
                | Nbd.FLAG_SEND_WRITE_ZEROES
                | Nbd.FLAG_SEND_CACHE
                | Nbd.FLAG_SEND_FAST_ZERO;
        if (view.multiConn()) {
            flags |= Nbd.FLAG_CAN_MULTI_CONN; // a flush covers the writes of every connection: the view's contract
        }
        return flags | (headers.chunked() ? Nbd.FLAG_SEND_DF : 0) | (view.readOnly() ? Nbd.FLAG_READ_ONLY : 0);
    }
}
