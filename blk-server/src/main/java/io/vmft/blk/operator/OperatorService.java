package io.vmft.blk.operator;

import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import io.vmft.blk.arbiter.VmState;
import io.vmft.blk.control.Coordinator;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.inspect.Findings;
import io.vmft.blk.inspect.LiveData;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.CheckReply;
import io.vmft.proto.blk.v1.CheckRequest;
import io.vmft.proto.blk.v1.ExportReply;
import io.vmft.proto.blk.v1.ExportRequest;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.JournalReply;
import io.vmft.proto.blk.v1.ListJournalRequest;
import io.vmft.proto.blk.v1.ListVmsRequest;
import io.vmft.proto.blk.v1.OperatorGrpc;
import io.vmft.proto.blk.v1.ShowVmReply;
import java.io.IOException;
import java.util.concurrent.Semaphore;
import java.util.function.BooleanSupplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Answers operators. Calls that read much are bounded, one at a time and so many bytes a second, and end early when nobody waits for
 * them or the server ends.
 */
public final class OperatorService extends OperatorGrpc.OperatorImplBase implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(OperatorService.class);

    /** A fraction of what one disk reads, and of one core's checksums. */
    private static final long READ_BYTES_PER_SECOND = 128 << 20;

    private final Coordinator coordinator;
    private final LiveData data;
    private final VolumeTable volumes;
    private final Semaphore reading = new Semaphore(1);
    private volatile boolean closed;

    public OperatorService(Coordinator coordinator, LiveData data) {
        this.coordinator = coordinator;
        this.data = data;
        this.volumes = data.volumes();
    }

    @Override
    public void listVms(ListVmsRequest request, StreamObserver<ArbiterRecord> observer) {
        coordinator.all().forEach(state -> observer.onNext(state.record()));
        observer.onCompleted();
    }

    @Override
    public void showVm(GetRequest request, StreamObserver<ShowVmReply> observer) {
        VmState state = coordinator.look(request.getVm());
        observer.onNext((state == null ? VmState.unknown(request.getVm()) : state).shown());
        observer.onCompleted();
    }

    @Override
    public void force(ForceRequest request, StreamObserver<ArbiterReply> observer) {
        Outcome outcome = coordinator.force(request);
        if (outcome.accepted()) {
            LOG.warn(
                    "{}: {} forced by {}: {}",
                    request.getVm(),
                    request.getAction(),
                    request.getBy(),
                    outcome.record().getReason());
        }
        observer.onNext(outcome.reply());
        observer.onCompleted();
    }

    @Override
    public void check(CheckRequest request, StreamObserver<CheckReply> observer) {
        read(observer, unwanted -> {
            Findings findings = new Findings(finding ->
                    observer.onNext(CheckReply.newBuilder().setFinding(finding).build()));
            String lookedAt = data.check(findings, new ReadThrottle(READ_BYTES_PER_SECOND, unwanted));
            observer.onNext(CheckReply.newBuilder().setLookedAt(lookedAt).build());
        });
    }

    @Override
    public void listJournal(ListJournalRequest request, StreamObserver<JournalReply> observer) {
        read(observer, unwanted -> data.list(observer::onNext, new ReadThrottle(READ_BYTES_PER_SECOND, unwanted)));
    }

    @Override
    public void exportCommitted(ExportRequest request, StreamObserver<ExportReply> observer) {
        read(observer, unwanted -> {
            try (CommittedExport export = CommittedExport.of(volumes, request.getVolume())) {
                export.sendTo(
                        (ServerCallStreamObserver<ExportReply>) observer,
                        unwanted,
                        new ReadThrottle(READ_BYTES_PER_SECOND, unwanted));
            }
        });
    }

    private interface Reading {
        void run(BooleanSupplier unwanted) throws IOException, ExportRefusedException;
    }

    private <T> void read(StreamObserver<T> observer, Reading work) {
        ServerCallStreamObserver<T> call = (ServerCallStreamObserver<T>) observer;
        if (!reading.tryAcquire()) {
            observer.onError(Status.RESOURCE_EXHAUSTED
                    .withDescription("another check, listing or export is running; ask again when it has ended")
                    .asRuntimeException());
            return;
        }
        try {
            work.run(() -> closed || call.isCancelled());
            observer.onCompleted();
        } catch (ReadThrottle.UnwantedException e) {
            observer.onError(Status.CANCELLED.withDescription("ended early").asRuntimeException());
        } catch (ExportRefusedException e) {
            observer.onError(
                    Status.FAILED_PRECONDITION.withDescription(e.getMessage()).asRuntimeException());
        } catch (IOException e) {
            observer.onError(Status.INTERNAL.withDescription(e.getMessage()).asRuntimeException());
        } finally {
            reading.release();
        }
    }

    /** Ends what is read now, soon. */
    @Override
    public void close() {
        closed = true;
    }
}
