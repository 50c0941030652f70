package io.vmft.engine.primary;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.replication.Link;
import io.vmft.engine.vm.InputCopies;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.NetFrames;
import java.lang.foreign.MemorySegment;

/**
 * Sends the backup a copy of what the guest is given, so that after a takeover it can be given again at once. The first frames of an
 * epoch only: a request and its like; a bulk transfer finds its way back by itself. Thread-safe.
 */
final class InputForwarder implements InputCopies {
    private static final int MAX_EPOCH_BYTES = 64 << 10;

    private final Link link;
    private long epoch = -1;
    private int epochBytes;

    InputForwarder(Link link) {
        this.link = link;
    }

    @Override
    public void received(int card, long inEpoch, MemorySegment frame) {
        int length = (int) frame.byteSize();
        if (!takes(inEpoch, length) || !link.isWritable()) {
            return;
        }
        ByteBuf payload = link.buffer(8 + length);
        NetFrames.writeHeader(payload, card, length);
        payload.writeBytes(frame.asByteBuffer());
        link.send(new Frame(FrameType.INPUT, inEpoch, payload));
    }

    private synchronized boolean takes(long inEpoch, int length) {
        if (inEpoch != epoch) {
            epoch = inEpoch;
            epochBytes = 0;
        }
        epochBytes += length;
        return epochBytes <= MAX_EPOCH_BYTES;
    }
}
