package io.vmft.blk.control;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.SealRequest;
import java.util.Set;
import java.util.function.Function;

/**
 * One engine's seals, on the event loop that reads them. The next one is asked for only when the socket took the answers before, so a client that
 * does not read them fills no memory. Only {@link #end} may come from another thread.
 */
final class SealsCall implements StreamObserver<SealRequest> {
    private final ServerCallStreamObserver<EpochReply> replies;
    private final Function<SealRequest, EpochReply> seal;
    private final Set<SealsCall> open;
    /** Whether a request is asked for, and not here yet. */
    private boolean asked;

    private boolean ended;

    private SealsCall(
            ServerCallStreamObserver<EpochReply> replies, Function<SealRequest, EpochReply> seal, Set<SealsCall> open) {
        this.replies = replies;
        this.seal = seal;
        this.open = open;
    }

    /**
     * A call that has just come in.
     *
     * @param open holds it as long as it lasts
     */
    static SealsCall begin(
            ServerCallStreamObserver<EpochReply> replies, Function<SealRequest, EpochReply> seal, Set<SealsCall> open) {
        SealsCall call = new SealsCall(replies, seal, open);
        replies.disableAutoRequest();
        replies.setOnReadyHandler(call::ask);
        // With a cancel handler an answer to a client that is gone is dropped, not thrown.
        replies.setOnCancelHandler(() -> open.remove(call));
        replies.setOnCloseHandler(() -> open.remove(call));
        open.add(call);
        return call;
    }

    private synchronized void ask() {
        if (!ended && !asked && replies.isReady()) {
            asked = true;
            replies.request(1);
        }
    }

    @Override
    public void onNext(SealRequest request) {
        EpochReply reply = seal.apply(request);
        synchronized (this) {
            asked = false;
            if (!ended) {
                replies.onNext(reply);
            }
        }
        ask();
    }

    @Override
    public void onError(Throwable gone) {
        open.remove(this);
    }

    @Override
    public void onCompleted() {
        end();
    }

    synchronized void end() {
        if (!ended) {
            ended = true;
            open.remove(this);
            replies.onCompleted();
        }
    }
}
