package io.vmft.blk.control;

import io.grpc.stub.StreamObserver;
import io.vmft.blk.arbiter.ArbiterRules;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.Refusal.Code;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** The gRPC face of the arbiter. */
final class ArbiterService extends ArbiterGrpc.ArbiterImplBase {
    private final Coordinator coordinator;

    ArbiterService(Coordinator coordinator) {
        this.coordinator = coordinator;
    }

    @Override
    public void open(OpenRequest request, StreamObserver<ArbiterReply> observer) {
        answer(request.getVm(), () -> coordinator.open(request), observer);
    }

    @Override
    public void beginProtect(BeginProtectRequest request, StreamObserver<ArbiterReply> observer) {
        answer(request.getVm(), () -> coordinator.beginProtect(request), observer);
    }

    @Override
    public void goSolo(GoSoloRequest request, StreamObserver<ArbiterReply> observer) {
        answer(request.getVm(), () -> coordinator.goSolo(request), observer);
    }

    @Override
    public void close(CloseRequest request, StreamObserver<ArbiterReply> observer) {
        answer(request.getVm(), () -> coordinator.close(request), observer);
    }

    @Override
    public void get(GetRequest request, StreamObserver<ArbiterReply> observer) {
        answer(request.getVm(), () -> new Outcome(coordinator.get(request.getVm()), null), observer);
    }

    @Override
    public void takeOver(TakeOverRequest request, StreamObserver<TakeOverReply> observer) {
        Outcome outcome = checked(request.getVm(), () -> coordinator.takeOver(request));
        TakeOverReply.Builder reply = TakeOverReply.newBuilder().setRecord(outcome.record());
        if (outcome.refusal() == null) {
            reply.setEpoch(outcome.record().getCommittedEpoch());
        } else {
            reply.setRefusal(outcome.refusal());
        }
        observer.onNext(reply.build());
        observer.onCompleted();
    }

    private static void answer(String vm, Supplier<Outcome> call, StreamObserver<ArbiterReply> observer) {
        observer.onNext(checked(vm, call).reply());
        observer.onCompleted();
    }

    private static Outcome checked(String vm, Supplier<Outcome> call) {
        Refusal refusal = badName(vm);
        return refusal == null ? call.get() : new Outcome(VmState.unknown("").record(), refusal);
    }

    /** Null if it is a VM's name. */
    static @Nullable Refusal badName(String vm) {
        return ArbiterRules.NAME.matcher(vm).matches()
                ? null
                : Refusal.newBuilder()
                        .setCode(Code.BAD_REQUEST)
                        .setMessage("a VM's name is 1 to 128 of the characters A-Z a-z 0-9 . _ -")
                        .build();
    }
}
