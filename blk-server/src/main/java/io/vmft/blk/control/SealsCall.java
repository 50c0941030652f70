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
    /** Whether a request is asked for, and not here yet. */
    private boolean asked;

    private boolean ended;

    private SealsCall(ServerCallStreamObserver<EpochReply> replies, Function<SealRequest, EpochReply> seal) {
        this.replies = replies;
        this.seal = seal;
    }

    /**
     * A call that has just come in.
     *
     * @param open holds it as long as it lasts
     */
    static SealsCall begin(
            ServerCallStreamObserver<EpochReply> replies, Function<SealRequest, EpochReply> seal, Set<SealsCall> open) {
        SealsCall call = new SealsCall(replies, seal);
        replies.disableAutoRequest();
        replies.setOnReadyHandler(call::ask);
        open.add(call);
        Runnable over = () -> open.remove(call);
        // With a cancel handler an answer to a client that is gone is dropped, not thrown.
        replies.setOnCancelHandler(over);
        replies.setOnCloseHandler(over);
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
        // The cancel handler has heard of it.
    }

    @Override
    public void onCompleted() {
        end();
    }

    synchronized void end() {
        if (!ended) {
            ended = true;
            replies.onCompleted();
        }
    }
}
