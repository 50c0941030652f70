package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;

/** A server process with a VM "vm1" of volume "disk", and what its engine and its guest do there. */
final class KillableServer implements AutoCloseable {
    private static final String VM = "vm1";
    private static final int BLOCK_BYTES = 4096;

    private final ServerProcess process;
    private final ManagedChannel channel;

    private KillableServer(ServerProcess process) {
        this.process = process;
        this.channel = NettyChannelBuilder.forAddress("127.0.0.1", process.controlPort())
                .usePlaintext()
                .build();
    }

    static KillableServer start(Path log, String... arguments) throws IOException {
        return new KillableServer(ServerProcess.start(log, arguments));
    }

    ArbiterRecord record() {
        return ArbiterGrpc.newBlockingStub(channel)
                .get(GetRequest.newBuilder().setVm(VM).build())
                .getRecord();
    }

    /** Opens the VM, begins its protection and commits the first epoch. */
    void protect(long firstEpoch) {
        ArbiterGrpc.ArbiterBlockingStub arbiter = ArbiterGrpc.newBlockingStub(channel);
        ArbiterRecord opened = arbiter.open(OpenRequest.newBuilder()
                        .setVm(VM)
                        .setHost("hostA")
                        .addVolumes("disk")
                        .build())
                .getRecord();
        arbiter.beginProtect(BeginProtectRequest.newBuilder()
                .setVm(VM)
                .setGeneration(opened.getGeneration())
                .setBackup("hostB")
                .build());
        endEpoch(firstEpoch);
    }

    /** Seals and commits. */
    void endEpoch(long epoch) {
        EpochsGrpc.EpochsBlockingStub epochs = EpochsGrpc.newBlockingStub(channel);
        long generation = record().getGeneration();
        assertThat(epochs.seal(SealRequest.newBuilder()
                                .setVm(VM)
                                .setGeneration(generation)
                                .setEpoch(epoch)
                                .build())
                        .hasRefusal())
                .isFalse();
        assertThat(epochs.commit(CommitRequest.newBuilder()
                                .setVm(VM)
                                .setGeneration(generation)
                                .setEpoch(epoch)
                                .build())
                        .hasRefusal())
                .isFalse();
    }

    /** In each epoch of these writes one block, that of its number, filled with it. */
    void writeEpochs(long first, long last) throws IOException {
        byte[] data = new byte[BLOCK_BYTES];
        try (PlainNbd nbd = new PlainNbd(process.nbdPort(), "disk@" + record().getPrimaryGeneration())) {
            for (long epoch = first; epoch <= last; epoch++) {
                Arrays.fill(data, (byte) epoch);
                nbd.write(epoch * BLOCK_BYTES, data);
                endEpoch(epoch);
            }
        }
    }

    /** SIGKILL. */
    void kill() {
        process.kill();
    }

    @Override
    public void close() {
        channel.shutdownNow();
        process.close();
    }
}
