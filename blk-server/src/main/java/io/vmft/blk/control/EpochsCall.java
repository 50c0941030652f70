package io.vmft.blk.control;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.vmft.proto.blk.v1.EpochReply;
import java.util.Set;
import java.util.function.Function;

/**
 * One engine's seals or its commits, on the thread that brings each. The next one is asked for only when the socket took the answers before, so a
 * client that does not read them fills no memory. Only {@link #end} may come from another thread.
 *
 * @param <Q> what is asked
 */
final class EpochsCall<Q> implements StreamObserver<Q> {
    private final ServerCallStreamObserver<EpochReply> replies;
    private final Function<Q, EpochReply> answer;
    /** Whether a request is asked for, and not answered yet. */
    private boolean asked;
    /** Whether one is being answered: then the call is ended after that. */
    private boolean answering;
    /** None is asked for any more. */
    private boolean ending;

    private boolean ended;

    private EpochsCall(ServerCallStreamObserver<EpochReply> replies, Function<Q, EpochReply> answer) {
        this.replies = replies;
        this.answer = answer;
    }

    /**
     * A call that has just come in.
     *
     * @param open holds it as long as it lasts
     */
    static <Q> EpochsCall<Q> begin(
            ServerCallStreamObserver<EpochReply> replies, Function<Q, EpochReply> answer, Set<EpochsCall<?>> open) {
        EpochsCall<Q> call = new EpochsCall<>(replies, answer);
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
        if (!ending && !asked && replies.isReady()) {
            asked = true;
            replies.request(1);
        }
    }

    @Override
    public void onNext(Q request) {
        synchronized (this) {
            if (ended) {
                // It was on its way here; nobody would hear of what it did, nor wait for it.
                return;
            }
            answering = true;
        }
        EpochReply reply = answer.apply(request);
        synchronized (this) {
            answering = false;
            asked = false;
            if (!ended) {
                replies.onNext(reply);
            }
            if (ending) {
                complete();
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

    /** Ends it, once what is being done is answered. */
    synchronized void end() {
        ending = true;
        if (!answering) {
            complete();
        }
    }

    private void complete() {
        if (!ended) {
            ended = true;
            replies.onCompleted();
        }
    }
}
