package io.vmft.engine.blk;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.StreamObserver;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.ToLongFunction;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Seals and commits over a real connection to a server that answers, keeps silent or goes away as told. */
class BlkControlEpochsTest {
    private static final Duration LIMIT = Duration.ofSeconds(20);
    /** How long a commit waits before it is asked for again. */
    private static final Duration ATTEMPT = Duration.ofMillis(300);

    private static final long SILENT = 1_000;
    private static final long GO_AWAY = 2_000;
    private static final long CONFUSED = 3_000;

    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor();
    private final AtomicInteger calls = new AtomicInteger();
    private final Set<Long> goAwayOnce = ConcurrentHashMap.newKeySet();
    private final Set<Long> silentOnce = ConcurrentHashMap.newKeySet();
    private Server server;
    private BlkControl control;

    @BeforeEach
    void start() throws Exception {
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .addService(new Scripted())
                .build()
                .start();
        control = new BlkControl("127.0.0.1:" + server.getPort(), timer, () -> {}, ATTEMPT);
        Awaitility.await().until(control::isConnected);
    }

    @AfterEach
    void stop() throws Exception {
        control.close();
        server.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
        timer.shutdownNow();
    }

    private final class Scripted extends EpochsGrpc.EpochsImplBase {
        @Override
        public StreamObserver<SealRequest> seals(StreamObserver<EpochReply> replies) {
            return script(replies, SealRequest::getEpoch);
        }

        @Override
        public StreamObserver<CommitRequest> commits(StreamObserver<EpochReply> replies) {
            return script(replies, CommitRequest::getEpoch);
        }

        private <Q> StreamObserver<Q> script(StreamObserver<EpochReply> replies, ToLongFunction<Q> epochOf) {
            calls.incrementAndGet();
            return new StreamObserver<>() {
                @Override
                public void onNext(Q request) {
                    long epoch = epochOf.applyAsLong(request);
                    if (epoch == GO_AWAY || goAwayOnce.remove(epoch)) {
                        replies.onError(Status.UNAVAILABLE.asRuntimeException());
                    } else if (epoch != SILENT && !silentOnce.remove(epoch)) {
                        replies.onNext(EpochReply.newBuilder()
                                .setEpoch(epoch == CONFUSED ? epoch + 1 : epoch)
                                .build());
                    }
                }

                @Override
                public void onError(Throwable gone) {}

                @Override
                public void onCompleted() {
                    replies.onCompleted();
                }
            };
        }
    }

    private CompletableFuture<EpochReply> seal(long epoch, Duration limit) {
        return control.seal("vm", 1, epoch, limit);
    }

    @Test
    void allGoOverOneCallAndAreAnsweredInOrder() throws Exception {
        List<CompletableFuture<EpochReply>> answers = new ArrayList<>();
        for (long epoch = 1; epoch <= 100; epoch++) {
            answers.add(seal(epoch, LIMIT));
        }
        for (int i = 0; i < answers.size(); i++) {
            assertThat(answers.get(i).get(20, TimeUnit.SECONDS).getEpoch()).isEqualTo(i + 1);
        }
        assertThat(calls).hasValue(1);
    }

    @Test
    void oneThatIsNotAnsweredInTimeFailsAndTheNextHasACallOfItsOwn() throws Exception {
        assertThat(code(seal(SILENT, Duration.ofMillis(50)))).isEqualTo(Status.Code.DEADLINE_EXCEEDED);
        assertThat(seal(2, LIMIT).get(20, TimeUnit.SECONDS).getEpoch()).isEqualTo(2);
        assertThat(calls).hasValue(2);
    }

    @Test
    void whatWasNotAnsweredFailsWithTheCallAndTheNextHasACallOfItsOwn() throws Exception {
        CompletableFuture<EpochReply> first = seal(SILENT, LIMIT);
        CompletableFuture<EpochReply> second = seal(GO_AWAY, LIMIT);
        assertThat(code(first)).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(code(second)).isEqualTo(Status.Code.UNAVAILABLE);
        assertThat(seal(3, LIMIT).get(20, TimeUnit.SECONDS).getEpoch()).isEqualTo(3);
    }

    @Test
    void oneUnderWayFailsWhenTheClientIsClosed() {
        CompletableFuture<EpochReply> answer = seal(SILENT, LIMIT);
        control.close();
        // Whichever of the call's and the thread's ends comes first.
        assertThat(code(answer)).isIn(Status.Code.UNAVAILABLE, Status.Code.UNKNOWN);
    }

    @Test
    void commitsGoOverOneCallToo() throws Exception {
        for (long epoch = 1; epoch <= 100; epoch++) {
            assertThat(control.commit("vm", 1, epoch).get(20, TimeUnit.SECONDS).getEpoch())
                    .isEqualTo(epoch);
        }
        assertThat(calls).hasValue(1);
    }

    @Test
    void aCommitThatIsNotAnsweredInTimeIsAskedForAgainOverACallOfItsOwn() throws Exception {
        silentOnce.add(2L);
        assertThat(control.commit("vm", 1, 1).get(20, TimeUnit.SECONDS).getEpoch())
                .isEqualTo(1);
        assertThat(control.commit("vm", 1, 2).get(20, TimeUnit.SECONDS).getEpoch())
                .isEqualTo(2);
        assertThat(calls).hasValue(2);
    }

    @Test
    void anAnswerThatWasNotAskedForEndsTheCall() {
        assertThat(code(seal(CONFUSED, LIMIT))).isEqualTo(Status.Code.INTERNAL);
    }

    @Test
    void aTakeOverThatIsCancelledBeforeTheServerIsThereIsNotSent() throws Exception {
        int port = server.getPort();
        server.shutdownNow().awaitTermination(10, TimeUnit.SECONDS);
        Awaitility.await().until(() -> !control.isConnected());
        AtomicInteger takeOvers = new AtomicInteger();
        CompletableFuture<TakeOverReply> unwanted = control.takeOver(TakeOverRequest.getDefaultInstance());
        unwanted.cancel(false);
        CompletableFuture<ArbiterReply> wanted = control.get("vm");
        server = NettyServerBuilder.forAddress(new InetSocketAddress(InetAddress.getLoopbackAddress(), port))
                .addService(new ArbiterGrpc.ArbiterImplBase() {
                    @Override
                    public void takeOver(TakeOverRequest request, StreamObserver<TakeOverReply> replies) {
                        takeOvers.incrementAndGet();
                        replies.onNext(TakeOverReply.getDefaultInstance());
                        replies.onCompleted();
                    }

                    @Override
                    public void get(GetRequest request, StreamObserver<ArbiterReply> replies) {
                        replies.onNext(ArbiterReply.getDefaultInstance());
                        replies.onCompleted();
                    }
                })
                .build()
                .start();
        wanted.get(20, TimeUnit.SECONDS);
        // Sent in order, so that one asked for before would have come before.
        control.get("vm").get(20, TimeUnit.SECONDS);
        assertThat(takeOvers).hasValue(0);
    }

    @Test
    void commitsThatWereNotAnsweredAreAskedForAgain() throws Exception {
        goAwayOnce.add(2L);
        List<CompletableFuture<EpochReply>> answers = new ArrayList<>();
        for (long epoch = 1; epoch <= 3; epoch++) {
            answers.add(control.commit("vm", 1, epoch));
        }
        for (int i = 0; i < answers.size(); i++) {
            assertThat(answers.get(i).get(20, TimeUnit.SECONDS).getEpoch()).isEqualTo(i + 1);
        }
        assertThat(goAwayOnce).isEmpty();
    }

    private static Status.Code code(CompletableFuture<EpochReply> answer) {
        Throwable[] seen = new Throwable[1];
        assertThatThrownBy(() -> answer.get(20, TimeUnit.SECONDS))
                .isInstanceOf(ExecutionException.class)
                .satisfies(thrown -> seen[0] = thrown.getCause());
        assertThat(seen[0]).isInstanceOf(StatusRuntimeException.class);
        return ((StatusRuntimeException) seen[0]).getStatus().getCode();
    }
}
