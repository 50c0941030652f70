package io.vmft.engine.blk;

import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import io.vmft.proto.blk.v1.EpochReply;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * Seals, or commits, over one call that stays open; they are answered in order, each with its epoch, and an answer out of order ends the call.
 * Once it has ended, for whatever reason, what was not answered fails, and another call has to be made. Thread-safe.
 *
 * @param <Q> what is asked
 */
final class EpochsCall<Q> implements ClientResponseObserver<Q, EpochReply> {
    private record Asked(long epoch, CompletableFuture<EpochReply> answer) {}

    private final ArrayDeque<Asked> waiting = new ArrayDeque<>();
    private @Nullable ClientCallStreamObserver<Q> requests;
    private @Nullable Throwable end;

    @Override
    public void beforeStart(ClientCallStreamObserver<Q> stream) {
        requests = stream;
    }

    synchronized boolean hasEnded() {
        return end != null;
    }

    /**
     * Asks for one.
     *
     * @param epoch that of the request
     * @param timer where the call is ended if the answer does not come within {@code limit}
     */
    CompletableFuture<EpochReply> ask(Q request, long epoch, Duration limit, ScheduledExecutorService timer) {
        CompletableFuture<EpochReply> answer = new CompletableFuture<>();
        synchronized (this) {
            if (end != null) {
                return CompletableFuture.failedFuture(end);
            }
            waiting.add(new Asked(epoch, answer));
            stream().onNext(request);
        }
        ScheduledFuture<?> deadline = timer.schedule(() -> late(answer), limit.toNanos(), TimeUnit.NANOSECONDS);
        var _ = answer.whenComplete((reply, failure) -> deadline.cancel(false));
        return answer;
    }

    private ClientCallStreamObserver<Q> stream() {
        if (requests == null) {
            throw new IllegalStateException("the call was not started");
        }
        return requests;
    }

    private void late(CompletableFuture<EpochReply> answer) {
        if (!answer.isDone()) {
            abandon(Status.DEADLINE_EXCEEDED.withDescription("no answer in time"));
        }
    }

    private void abandon(Status why) {
        end(why.asRuntimeException());
        stream().cancel(why.getDescription(), null);
    }

    @Override
    public void onNext(EpochReply reply) {
        CompletableFuture<EpochReply> answer = takeWaiting(reply.getEpoch());
        if (answer != null) {
            answer.complete(reply);
        } else {
            abandon(Status.INTERNAL.withDescription(
                    "an answer for epoch " + reply.getEpoch() + " that was not asked for"));
        }
    }

    /** Null if it is another epoch's turn, or nobody's. */
    private synchronized @Nullable CompletableFuture<EpochReply> takeWaiting(long epoch) {
        Asked next = waiting.peek();
        if (next == null || next.epoch() != epoch) {
            return null;
        }
        waiting.remove();
        return next.answer();
    }

    @Override
    public void onError(Throwable failure) {
        end(failure);
    }

    @Override
    public void onCompleted() {
        end(Status.UNAVAILABLE.withDescription("the server ends").asRuntimeException());
    }

    private void end(Throwable reason) {
        List<Asked> unanswered;
        synchronized (this) {
            if (end != null) {
                return;
            }
            end = reason;
            unanswered = List.copyOf(waiting);
            waiting.clear();
        }
        unanswered.forEach(asked -> asked.answer().completeExceptionally(reason));
    }
}
