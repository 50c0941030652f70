package io.vmft.engine.standby;

import io.netty.buffer.ByteBuf;
import java.util.ArrayDeque;

/**
 * Network frames that would be lost with the primary: what the guest sent and the primary holds, and what the guest was given
 * lately. At a takeover from epoch e the frames sent up to e are safe to send and nobody else will; those given in e or later
 * may be unknown to the guest of that moment. TCP would bring both back by itself, a retransmission timeout later. Frames that were seen
 * already are seen twice, as on any network.
 *
 * <p>Only saves time, so it is bounded by forgetting: the oldest go first. Owns the payloads it is given. Not thread-safe.
 */
final class FramesUnderWay implements AutoCloseable {
    /** Takes a payload of frames; does not own it. */
    @FunctionalInterface
    interface Taker {
        void take(ByteBuf payload);
    }

    private record Part(long epoch, ByteBuf payload) {}

    private final long maxBytes;
    private final ArrayDeque<Part> output = new ArrayDeque<>();
    private final ArrayDeque<Part> input = new ArrayDeque<>();
    private long bytes;

    FramesUnderWay(long maxBytes) {
        this.maxBytes = maxBytes;
    }

    void output(long epoch, ByteBuf payload) {
        add(output, epoch, payload);
    }

    void input(long epoch, ByteBuf payload) {
        add(input, epoch, payload);
    }

    /** Epochs up to this one are committed: the primary sends their output itself, and their guest knows earlier input. */
    void committed(long epoch) {
        while (!output.isEmpty() && output.peekFirst().epoch <= epoch) {
            drop(output);
        }
        while (!input.isEmpty() && input.peekFirst().epoch < epoch) {
            drop(input);
        }
    }

    /** Shows what a takeover at {@code epoch} sends, then what it gives to the guest, oldest first. */
    void replay(long epoch, Taker sent, Taker given) {
        output.stream().filter(part -> part.epoch <= epoch).forEach(part -> sent.take(part.payload));
        input.stream().filter(part -> part.epoch >= epoch).forEach(part -> given.take(part.payload));
    }

    long bytes() {
        return bytes;
    }

    @Override
    public void close() {
        while (!output.isEmpty()) {
            drop(output);
        }
        while (!input.isEmpty()) {
            drop(input);
        }
    }

    private void add(ArrayDeque<Part> parts, long epoch, ByteBuf payload) {
        parts.addLast(new Part(epoch, payload));
        bytes += payload.readableBytes();
        while (bytes > maxBytes) {
            drop(input.isEmpty() ? output : input);
        }
    }

    private void drop(ArrayDeque<Part> parts) {
        ByteBuf payload = parts.removeFirst().payload;
        bytes -= payload.readableBytes();
        payload.release();
    }
}
