package io.vmft.blk.control;

import io.grpc.stub.StreamObserver;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import java.util.function.Supplier;

/** The gRPC face of epochs. */
final class EpochsService extends EpochsGrpc.EpochsImplBase {
    private final Coordinator coordinator;

    EpochsService(Coordinator coordinator) {
        this.coordinator = coordinator;
    }

    @Override
    public void seal(SealRequest request, StreamObserver<EpochReply> observer) {
        answer(request.getVm(), request.getEpoch(), () -> coordinator.seal(request), observer);
    }

    @Override
    public void commit(CommitRequest request, StreamObserver<EpochReply> observer) {
        answer(request.getVm(), request.getEpoch(), () -> coordinator.commit(request), observer);
    }

    private static void answer(String vm, long epoch, Supplier<Outcome> call, StreamObserver<EpochReply> observer) {
        Refusal badName = ArbiterService.badName(vm);
        Outcome outcome =
                badName == null ? call.get() : new Outcome(VmState.unknown("").record(), badName);
        EpochReply.Builder reply = EpochReply.newBuilder().setEpoch(epoch);
        if (outcome.refusal() != null) {
            reply.setRefusal(outcome.refusal());
        }
        observer.onNext(reply.build());
        observer.onCompleted();
    }
}
