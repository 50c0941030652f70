package io.vmft.blk.nbd;

import io.vmft.blk.nbd.RequestExecutor.Fault;
import io.vmft.proto.nbd.NbdRequest;
import org.jspecify.annotations.Nullable;

/** A long read or write that is carried out in pieces and answered once. Confined to its connection's event loop. */
final class SplitRequest {
    private final NbdRequest request;
    private boolean syncWanted;
    private boolean wholeBegun;
    private int running;
    private @Nullable Fault fault;

    /**
     * A request of which nothing has begun.
     *
     * @param request its first piece: what the answer needs to know
     * @param sync whether it is to be made safe before it is answered
     */
    SplitRequest(NbdRequest request, boolean sync) {
        this.request = request;
        this.syncWanted = sync;
    }

    NbdRequest request() {
        return request;
    }

    /** A piece went to another thread. */
    void begun() {
        running++;
    }

    /** A piece came back from there. */
    void ended(@Nullable Fault pieceFault) {
        running--;
        failed(pieceFault);
    }

    /** Remembers the first fault; further pieces are not worth beginning. */
    void failed(@Nullable Fault pieceFault) {
        if (fault == null) {
            fault = pieceFault;
        }
    }

    @Nullable
    Fault fault() {
        return fault;
    }

    /** No further piece will begin. */
    void wholeBegun() {
        wholeBegun = true;
    }

    boolean isDone() {
        return wholeBegun && running == 0;
    }

    /** Whether the request, done, must still be made safe; true once. */
    boolean takeSync() {
        boolean wanted = syncWanted && fault == null;
        syncWanted = false;
        return wanted;
    }
}
