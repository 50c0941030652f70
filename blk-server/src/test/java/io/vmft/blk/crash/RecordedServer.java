package io.vmft.blk.crash;

import io.grpc.ManagedChannel;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.blk.server.ServerProcess;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.EpochsGrpc;

/** One server process under a trace, with a connection to its control service. */
final class RecordedServer implements AutoCloseable {
    private final ServerProcess process;
    private final ManagedChannel channel;
    private final ArbiterGrpc.ArbiterBlockingStub arbiter;
    private final EpochsGrpc.EpochsBlockingStub epochs;

    RecordedServer(ServerProcess process) {
        this.process = process;
        this.channel = NettyChannelBuilder.forAddress("127.0.0.1", process.controlPort())
                .usePlaintext()
                .build();
        this.arbiter = ArbiterGrpc.newBlockingStub(channel);
        this.epochs = EpochsGrpc.newBlockingStub(channel);
    }

    ServerProcess process() {
        return process;
    }

    ArbiterGrpc.ArbiterBlockingStub arbiter() {
        return arbiter;
    }

    EpochsGrpc.EpochsBlockingStub epochs() {
        return epochs;
    }

    @Override
    public void close() {
        channel.shutdownNow();
        process.close();
    }
}
