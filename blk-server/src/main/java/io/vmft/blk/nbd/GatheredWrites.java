package io.vmft.blk.nbd;

import io.vmft.proto.nbd.NbdRequest;
import java.util.ArrayList;
import java.util.List;

/**
 * Small writes that arrived in one turn of the event loop and go to storage together, before anything else is begun and before the
 * turn ends. Confined to the event loop.
 */
final class GatheredWrites {
    /** So many at most wait for each other: the client is to have its replies while it still sends. */
    private static final int MAX_WRITES = 32;

    private static final int MAX_BYTES = 128 << 10;

    private final List<NbdRequest.Write> writes = new ArrayList<>();
    private int bytes;

    void add(NbdRequest.Write write) {
        writes.add(write);
        bytes += write.data().readableBytes();
    }

    boolean isFull() {
        return writes.size() >= MAX_WRITES || bytes >= MAX_BYTES;
    }

    boolean isEmpty() {
        return writes.isEmpty();
    }

    int bytes() {
        return bytes;
    }

    /** What was added, to be released; nothing is left. */
    List<NbdRequest.Write> take() {
        List<NbdRequest.Write> taken = List.copyOf(writes);
        writes.clear();
        bytes = 0;
        return taken;
    }
}
