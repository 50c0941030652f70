package io.vmft.engine.blk;

import com.google.common.util.concurrent.FutureCallback;
import com.google.common.util.concurrent.Futures;
import com.google.common.util.concurrent.ListenableFuture;
import com.google.common.util.concurrent.MoreExecutors;
import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.util.concurrent.DefaultThreadFactory;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.IOException;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Calls to one block server's control port.
 *
 * <p>A call that changes who may run a VM, and {@code commit}, is repeated until it is answered: each is idempotent for its caller, and
 * without the answer nobody knows what holds. {@code seal} is bounded, because a VM's disks wait for it. An answer, a refusal
 * included, completes the future normally; it fails only when the server cannot understand the call, or on {@link #close}.
 *
 * <p>Thread-safe. Futures complete on gRPC's thread: callers move to their own.
 */
public final class BlkControl implements AutoCloseable {
    private static final Logger log = LoggerFactory.getLogger(BlkControl.class);
    private static final Duration ATTEMPT = Duration.ofSeconds(5);
    private static final long CLOSE_SECONDS = 5;
    private static final Duration RECONNECT = Duration.ofMillis(200);

    private final String address;
    private final Duration attempt;
    private final ScheduledExecutorService timer;
    private final MultiThreadIoEventLoopGroup group;
    private final ManagedChannel channel;
    private final ArbiterGrpc.ArbiterFutureStub arbiter;
    private final EpochsCalls<SealRequest> seals;
    private final EpochsCalls<CommitRequest> commits;

    private final Set<Runnable> connectedListeners = ConcurrentHashMap.newKeySet();
    private volatile boolean connected;
    private volatile boolean closed;

    /**
     * Does not wait for the server to be there.
     *
     * @param address {@code HOST:PORT}
     * @param timer for reconnecting; stays the caller's
     * @param onThread run first by the thread that carries the calls
     */
    public BlkControl(String address, ScheduledExecutorService timer, Runnable onThread) {
        this(address, timer, onThread, ATTEMPT);
    }

    /** @param attempt how long an answer is waited for before the same is asked again */
    BlkControl(String address, ScheduledExecutorService timer, Runnable onThread, Duration attempt) {
        this.address = address;
        this.attempt = attempt;
        this.group = new MultiThreadIoEventLoopGroup(
                1, new DefaultThreadFactory("blk-control", true), EpollIoHandler.newFactory());
        group.execute(onThread);
        this.timer = timer;
        this.channel = NettyChannelBuilder.forTarget("dns:///" + address)
                .eventLoopGroup(group)
                .channelType(EpollSocketChannel.class)
                .usePlaintext()
                .directExecutor()
                // Without gRPC's own retries a call costs less; what is not answered is asked again here.
                .disableRetry()
                .keepAliveTime(5, TimeUnit.SECONDS)
                .keepAliveTimeout(5, TimeUnit.SECONDS)
                .maxInboundMessageSize(1 << 20)
                .build();
        this.arbiter = ArbiterGrpc.newFutureStub(channel).withWaitForReady();
        EpochsGrpc.EpochsStub epochs = EpochsGrpc.newStub(channel);
        // Does not wait for the server: a seal that comes late is for nothing.
        this.seals = new EpochsCalls<>(epochs::seals);
        this.commits = new EpochsCalls<>(epochs.withWaitForReady()::commits);
        watch(channel.getState(true));
    }

    /** Where the server is, as configured. */
    public String address() {
        return address;
    }

    /**
     * Whether a call would be carried to the server now, as far as is known here: that a server died is known at once, that its host did
     * after ten seconds.
     */
    public boolean isConnected() {
        return connected;
    }

    /** From now on {@code listener} is run each time a connection stands, on gRPC's thread. */
    public void addConnectedListener(Runnable listener) {
        connectedListeners.add(listener);
    }

    public void removeConnectedListener(Runnable listener) {
        connectedListeners.remove(listener);
    }

    public CompletableFuture<ArbiterReply> get(String vm) {
        GetRequest request = GetRequest.newBuilder().setVm(vm).build();
        return askArbiter("Get", stub -> stub.get(request));
    }

    public CompletableFuture<ArbiterReply> open(OpenRequest request) {
        return askArbiter("Open", stub -> stub.open(request));
    }

    public CompletableFuture<ArbiterReply> beginProtect(BeginProtectRequest request) {
        return askArbiter("BeginProtect", stub -> stub.beginProtect(request));
    }

    public CompletableFuture<ArbiterReply> goSolo(GoSoloRequest request) {
        return askArbiter("GoSolo", stub -> stub.goSolo(request));
    }

    /** Cancelled, it is not asked for again, and not at all if it was not sent yet. */
    public CompletableFuture<TakeOverReply> takeOver(TakeOverRequest request) {
        return askArbiter("TakeOver", stub -> stub.takeOver(request));
    }

    /** Says that the VM has ended, and why. */
    public CompletableFuture<ArbiterReply> closeVm(String vm, long generation, String reason) {
        CloseRequest request = CloseRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setReason(reason)
                .build();
        return askArbiter("Close", stub -> stub.close(request));
    }

    /**
     * Fails with the gRPC status when there was no answer within {@code limit}: whether the server sealed is then unknown. So do all others that are
     * under way. Does not wait for a server that is away.
     */
    public CompletableFuture<EpochReply> seal(String vm, long generation, long epoch, Duration limit) {
        SealRequest request = SealRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
        return seals.ask(request, epoch, limit, group.next());
    }

    /**
     * Asks for as many seals as make a JVM compile the way of one, here and at the server, one after the other. They name generation 0, which
     * nobody ever holds: each is refused and changes nothing. Completes when all were answered, or one was not.
     */
    public CompletableFuture<Void> warmUp(String vm, int calls) {
        CompletableFuture<Void> done = new CompletableFuture<>();
        warmUp(vm, calls, done);
        return done;
    }

    private void warmUp(String vm, int calls, CompletableFuture<Void> done) {
        if (calls == 0 || closed) {
            done.complete(null);
            return;
        }
        // On the timer's thread in between: each answer's thread asking the next would be a stack as deep as there are
        // calls.
        seal(vm, 0, 0, attempt)
                .whenCompleteAsync((refused, failure) -> warmUp(vm, failure == null ? calls - 1 : 0, done), timer);
    }

    public CompletableFuture<EpochReply> commit(String vm, long generation, long epoch) {
        CommitRequest request = CommitRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build();
        return untilAnswered("Commit", () -> commits.ask(request, epoch, attempt, group.next()));
    }

    /** Pending calls fail. */
    @Override
    public void close() {
        closed = true;
        channel.shutdownNow();
        group.shutdownGracefully(0, CLOSE_SECONDS, TimeUnit.SECONDS);
    }

    private <T> CompletableFuture<T> askArbiter(
            String call, Function<ArbiterGrpc.ArbiterFutureStub, ListenableFuture<T>> question) {
        return untilAnswered(call, () -> toFuture(question.apply(arbiter.withDeadlineAfter(attempt))));
    }

    private <T> CompletableFuture<T> untilAnswered(String call, Supplier<CompletableFuture<T>> attempt) {
        Question<T> question = new Question<>(call, attempt);
        question.ask();
        return question.answer;
    }

    /** Asked until it is answered, or the answer is cancelled. */
    private final class Question<T> {
        private final String call;
        private final Supplier<CompletableFuture<T>> attempt;
        private final CompletableFuture<T> answer = new CompletableFuture<>();
        private volatile CompletableFuture<T> underWay = answer;

        Question(String call, Supplier<CompletableFuture<T>> attempt) {
            this.call = call;
            this.attempt = attempt;
            var _ = answer.whenComplete((reply, failure) -> cancelIfUnwanted());
        }

        private void cancelIfUnwanted() {
            if (answer.isCancelled()) {
                underWay.cancel(false);
            }
        }

        void ask() {
            CompletableFuture<T> asked = attempt.get();
            underWay = asked;
            // Cancelled before that, the answer knew nothing of it.
            cancelIfUnwanted();
            var _ = asked.whenComplete((reply, failure) -> {
                if (failure == null) {
                    answer.complete(reply);
                } else if (closed || answer.isDone() || !mayBeAnsweredLater(failure)) {
                    answer.completeExceptionally(failure);
                } else {
                    log.warn("block server {}: {} not answered ({}), asking again", address, call, code(failure));
                    askAgainSoon(failure);
                }
            });
        }

        private void askAgainSoon(Throwable failure) {
            try {
                timer.schedule(this::ask, RECONNECT.toMillis(), TimeUnit.MILLISECONDS);
            } catch (RejectedExecutionException e) {
                answer.completeExceptionally(failure);
            }
        }
    }

    /** The status alone: what gRPC adds to it are pages of its own inner life. */
    private static String code(Throwable failure) {
        return Status.fromThrowable(failure).getCode().toString();
    }

    static boolean mayBeAnsweredLater(Throwable failure) {
        return failure instanceof StatusRuntimeException e
                && switch (e.getStatus().getCode()) {
                    case UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED, RESOURCE_EXHAUSTED, ABORTED -> true;
                    // That of a connection which closed as the call was to go out; one that the server answered has no
                    // cause here.
                    case UNKNOWN -> e.getStatus().getCause() instanceof IOException;
                    default -> false;
                };
    }

    private static <T> CompletableFuture<T> toFuture(ListenableFuture<T> call) {
        CompletableFuture<T> result = new CompletableFuture<>();
        Futures.addCallback(
                call,
                new FutureCallback<T>() {
                    @Override
                    public void onSuccess(@Nullable T answer) {
                        result.complete(answer);
                    }

                    @Override
                    public void onFailure(Throwable failure) {
                        result.completeExceptionally(failure);
                    }
                },
                MoreExecutors.directExecutor());
        var _ = result.whenComplete((answer, failure) -> {
            if (result.isCancelled()) {
                // Without an interrupt gRPC's future ends alone, and its call goes on.
                call.cancel(true);
            }
        });
        return result;
    }

    /** gRPC backs off for up to two minutes; a VM waits for this server, so it is asked again five times a second. */
    private void watch(ConnectivityState state) {
        if (closed) {
            return;
        }
        channel.notifyWhenStateChanged(state, () -> {
            ConnectivityState now = channel.getState(true);
            connected = now == ConnectivityState.READY;
            if (now == ConnectivityState.TRANSIENT_FAILURE) {
                log.info("block server {} does not answer; trying until it does", address);
            } else if (now == ConnectivityState.READY) {
                log.info("block server {} is there", address);
                connectedListeners.forEach(Runnable::run);
            }
            watch(now);
        });
        if (state == ConnectivityState.TRANSIENT_FAILURE) {
            retrySoon();
        }
    }

    private void retrySoon() {
        timer.schedule(
                () -> {
                    if (!closed && channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
                        channel.resetConnectBackoff();
                        retrySoon();
                    }
                },
                RECONNECT.toMillis(),
                TimeUnit.MILLISECONDS);
    }

    /** What went wrong, in one line. */
    public static String describe(Throwable failure) {
        return failure instanceof StatusRuntimeException e
                ? e.getStatus().getCode()
                        + (e.getStatus().getDescription() == null
                                ? ""
                                : ": " + e.getStatus().getDescription())
                : Status.fromThrowable(failure).toString();
    }
}
