package io.vmft.blk.control;

import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.Supplier;

/** The gRPC face of epochs. */
final class EpochsService extends EpochsGrpc.EpochsImplBase {
    private final Coordinator coordinator;
    private final Set<EpochsCall<?>> open = ConcurrentHashMap.newKeySet();
    private volatile boolean ending;

    EpochsService(Coordinator coordinator) {
        this.coordinator = coordinator;
    }

    @Override
    public void seal(SealRequest request, StreamObserver<EpochReply> observer) {
        answer(sealed(request), observer);
    }

    @Override
    public StreamObserver<SealRequest> seals(StreamObserver<EpochReply> observer) {
        return begin(observer, this::sealed);
    }

    @Override
    public void commit(CommitRequest request, StreamObserver<EpochReply> observer) {
        answer(committed(request), observer);
    }

    @Override
    public StreamObserver<CommitRequest> commits(StreamObserver<EpochReply> observer) {
        return begin(observer, this::committed);
    }

    private <Q> EpochsCall<Q> begin(StreamObserver<EpochReply> observer, Function<Q, EpochReply> answer) {
        EpochsCall<Q> call = EpochsCall.begin((ServerCallStreamObserver<EpochReply>) observer, answer, open);
        if (ending) {
            call.end();
        }
        return call;
    }

    /** Ends the calls that an engine would leave open for ever, those to come too. */
    void endOpenCalls() {
        ending = true;
        open.forEach(EpochsCall::end);
    }

    private EpochReply sealed(SealRequest request) {
        return reply(request.getVm(), request.getEpoch(), () -> coordinator.seal(request));
    }

    private EpochReply committed(CommitRequest request) {
        return reply(request.getVm(), request.getEpoch(), () -> coordinator.commit(request));
    }

    private static void answer(EpochReply reply, StreamObserver<EpochReply> observer) {
        observer.onNext(reply);
        observer.onCompleted();
    }

    private static EpochReply reply(String vm, long epoch, Supplier<Outcome> call) {
        Refusal badName = ArbiterService.badName(vm);
        Outcome outcome =
                badName == null ? call.get() : new Outcome(VmState.unknown("").record(), badName);
        EpochReply.Builder reply = EpochReply.newBuilder().setEpoch(epoch);
        if (outcome.refusal() != null) {
            reply.setRefusal(outcome.refusal());
        }
        return reply.build();
    }
}
