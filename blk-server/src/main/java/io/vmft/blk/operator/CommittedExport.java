package io.vmft.blk.operator;

import com.google.protobuf.ByteString;
import io.grpc.stub.ServerCallStreamObserver;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.volume.CommittedView;
import io.vmft.blk.volume.VolumeTable;
import io.vmft.proto.blk.v1.ExportData;
import io.vmft.proto.blk.v1.ExportHead;
import io.vmft.proto.blk.v1.ExportReply;
import java.io.IOException;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongConsumer;

/** Sends what a volume held at its last commit, without what reads as zeroes. It stays as it was however long that takes. */
final class CommittedExport implements AutoCloseable {
    private static final int PIECE_BYTES = 256 << 10;
    private static final long STEP_BYTES = 64 << 20;
    private static final int EXTENTS = 256;
    private static final long WAIT_NANOS = 20_000_000;

    private final CommittedView view;

    private CommittedExport(CommittedView view) {
        this.view = view;
    }

    static CommittedExport of(VolumeTable volumes, String volume) throws ExportRefusedException {
        return new CommittedExport(volumes.committed(volume, _ -> {}));
    }

    /** Sends all of it, no faster than the other side takes it. */
    void sendTo(ServerCallStreamObserver<ExportReply> to, BooleanSupplier unwanted, LongConsumer pace)
            throws IOException {
        long size = view.sizeBytes();
        to.onNext(ExportReply.newBuilder()
                .setHead(ExportHead.newBuilder().setSizeBytes(size).setEpoch(view.epoch()))
                .build());
        for (long at = 0; at < size; ) {
            for (BlockStatus extent :
                    view.blockStatus(BlockStatus.ALLOCATION, at, Math.min(STEP_BYTES, size - at), EXTENTS)) {
                long end = Math.min(size, at + extent.lengthBytes());
                while (at < end) {
                    long length = Math.min(PIECE_BYTES, end - at);
                    if ((extent.flags() & BlockStatus.ZERO) == 0) {
                        awaitReady(to, unwanted);
                        pace.accept(length);
                        to.onNext(piece(at, (int) length));
                        at += length;
                    } else {
                        at = end;
                    }
                }
            }
            if (unwanted.getAsBoolean()) {
                throw new ReadThrottle.UnwantedException();
            }
        }
    }

    /** The transport has a bounded buffer: beyond it what is sent would gather in memory. */
    private static void awaitReady(ServerCallStreamObserver<ExportReply> to, BooleanSupplier unwanted) {
        while (!to.isReady()) {
            if (unwanted.getAsBoolean()) {
                throw new ReadThrottle.UnwantedException();
            }
            LockSupport.parkNanos(WAIT_NANOS);
        }
    }

    private ExportReply piece(long offset, int length) throws IOException {
        ByteBuf buffer = Unpooled.directBuffer(length, length);
        try {
            view.read(offset, length, buffer);
            byte[] bytes = new byte[length];
            buffer.readBytes(bytes);
            return ExportReply.newBuilder()
                    .setData(ExportData.newBuilder().setOffset(offset).setData(ByteString.copyFrom(bytes)))
                    .build();
        } finally {
            buffer.release();
        }
    }

    @Override
    public void close() {
        view.close();
    }
}
