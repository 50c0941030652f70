package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The calls over which an engine asks for all its seals and commits. */
@Timeout(60)
class EpochsOverControlTest {
    /** No more than may be sealed and not committed. */
    private static final int EPOCHS = 16;

    private static final class Answers implements StreamObserver<EpochReply> {
        final BlockingQueue<EpochReply> replies = new LinkedBlockingQueue<>();
        final CompletableFuture<Boolean> ended = new CompletableFuture<>();

        @Override
        public void onNext(EpochReply reply) {
            replies.add(reply);
        }

        @Override
        public void onError(Throwable failure) {
            ended.completeExceptionally(failure);
        }

        @Override
        public void onCompleted() {
            ended.complete(true);
        }
    }

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private BlkServer server;
    private Engine engine;
    private ManagedChannel channel;
    private final Answers answers = new Answers();
    private StreamObserver<SealRequest> seals;
    private final Answers committed = new Answers();
    private StreamObserver<CommitRequest> commits;

    @BeforeEach
    void start() throws Exception {
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), 1 << 20)))
                .files(files)
                .build());
        engine = new Engine(server, "vm1", "disk");
        channel = NettyChannelBuilder.forAddress(server.controlAddress())
                .usePlaintext()
                .build();
        seals = EpochsGrpc.newStub(channel).seals(answers);
        commits = EpochsGrpc.newStub(channel).commits(committed);
    }

    @AfterEach
    void stop() throws Exception {
        channel.shutdownNow();
        server.close();
    }

    private void seal(String vm, long generation, long epoch) {
        seals.onNext(SealRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build());
    }

    private void commit(long generation, long epoch) {
        commits.onNext(CommitRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setEpoch(epoch)
                .build());
    }

    private EpochReply answer() throws Exception {
        return next(answers);
    }

    private static EpochReply next(Answers answers) throws Exception {
        EpochReply reply = answers.replies.poll(20, TimeUnit.SECONDS);
        assertThat(reply).isNotNull();
        return reply;
    }

    private static void assertAllAreAccepted(Answers answers) throws Exception {
        for (long epoch = 1; epoch <= EPOCHS; epoch++) {
            EpochReply reply = next(answers);
            assertThat(reply.hasRefusal()).isFalse();
            assertThat(reply.getEpoch()).isEqualTo(epoch);
        }
    }

    /** Protects the VM; its first commit waits for the disk then. */
    private FaultyFiles.Held holdFirstCommit() throws Exception {
        engine.protect();
        long generation = engine.record().getGeneration();
        seal("vm1", generation, 1);
        assertThat(answer().hasRefusal()).isFalse();
        FaultyFiles.Held sync = files.hold(FaultyFiles.Call.SYNC, ".segment");
        commit(generation, 1);
        sync.awaitReached();
        return sync;
    }

    @Test
    void aRefusalIsAnAnswerAndTheCallGoesOn() throws Exception {
        engine.protect();
        long generation = engine.record().getGeneration();
        seal("vm1", 0, 1);
        seal("not a name/", generation, 1);
        for (long epoch = 1; epoch <= EPOCHS; epoch++) {
            seal("vm1", generation, epoch);
        }
        assertThat(answer().getRefusal().getCode()).isEqualTo(Refusal.Code.FENCED);
        assertThat(answer().hasRefusal()).isTrue();
        assertAllAreAccepted(answers);
        assertThat(engine.record().getSealedEpoch()).isEqualTo(EPOCHS);
        seals.onCompleted();
        assertThat(answers.ended.get(20, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void commitsAreAnsweredInOrderOverTheirOwnCall() throws Exception {
        engine.protect();
        long generation = engine.record().getGeneration();
        for (long epoch = 1; epoch <= EPOCHS; epoch++) {
            seal("vm1", generation, epoch);
            assertThat(answer().hasRefusal()).isFalse();
        }
        commit(0, 1);
        for (long epoch = 1; epoch <= EPOCHS; epoch++) {
            commit(generation, epoch);
        }
        assertThat(next(committed).getRefusal().getCode()).isEqualTo(Refusal.Code.FENCED);
        assertAllAreAccepted(committed);
        assertThat(engine.record().getCommittedEpoch()).isEqualTo(EPOCHS);
        commits.onCompleted();
        assertThat(committed.ended.get(20, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void sealsDoNotWaitForACommit() throws Exception {
        FaultyFiles.Held sync = holdFirstCommit();
        seal("vm1", engine.record().getGeneration(), 2);
        assertThat(answer().hasRefusal()).isFalse();
        assertThat(committed.replies).isEmpty();
        sync.release();
        assertThat(next(committed).hasRefusal()).isFalse();
    }

    @Test
    void aServerThatEndsEndsTheCallsInOrder() throws Exception {
        seal("vm1", 0, 1);
        assertThat(answer().hasRefusal()).isTrue();
        commit(0, 1);
        assertThat(next(committed).hasRefusal()).isTrue();
        server.close();
        assertThat(answers.ended.get(20, TimeUnit.SECONDS)).isTrue();
        assertThat(committed.ended.get(20, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void aServerThatEndsAnswersTheCommitUnderWay() throws Exception {
        FaultyFiles.Held sync = holdFirstCommit();
        Thread closing = Thread.ofVirtual().start(server::close);
        assertThat(answers.ended.get(20, TimeUnit.SECONDS)).isTrue();
        assertThat(committed.ended).isNotDone();
        sync.release();
        assertThat(next(committed).hasRefusal()).isFalse();
        assertThat(committed.ended.get(20, TimeUnit.SECONDS)).isTrue();
        closing.join();
    }
}
