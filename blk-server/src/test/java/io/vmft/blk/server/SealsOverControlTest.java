package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.grpc.stub.StreamObserver;
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
import org.junit.jupiter.api.io.TempDir;

/** The call over which an engine asks for all its seals. */
class SealsOverControlTest {
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

    private BlkServer server;
    private Engine engine;
    private ManagedChannel channel;
    private final Answers answers = new Answers();
    private StreamObserver<SealRequest> requests;

    @BeforeEach
    void start() throws Exception {
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), 1 << 20)))
                .build());
        engine = new Engine(server, "vm1", "disk");
        channel = NettyChannelBuilder.forAddress(server.controlAddress())
                .usePlaintext()
                .build();
        requests = EpochsGrpc.newStub(channel).seals(answers);
    }

    @AfterEach
    void stop() throws Exception {
        channel.shutdownNow();
        server.close();
    }

    private void seal(String vm, long generation, long epoch) {
        requests.onNext(SealRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build());
    }

    private EpochReply answer() throws Exception {
        EpochReply reply = answers.replies.poll(20, TimeUnit.SECONDS);
        assertThat(reply).isNotNull();
        return reply;
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
        for (long epoch = 1; epoch <= EPOCHS; epoch++) {
            EpochReply reply = answer();
            assertThat(reply.hasRefusal()).isFalse();
            assertThat(reply.getEpoch()).isEqualTo(epoch);
        }
        assertThat(engine.record().getSealedEpoch()).isEqualTo(EPOCHS);
        requests.onCompleted();
        assertThat(answers.ended.get(20, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void aServerThatEndsEndsTheCallInOrder() throws Exception {
        seal("vm1", 0, 1);
        assertThat(answer().hasRefusal()).isTrue();
        server.close();
        assertThat(answers.ended.get(20, TimeUnit.SECONDS)).isTrue();
    }
}
