package io.vmft.engine.vm;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.net.NetGate;
import io.vmft.proto.checkpoint.NetFrames;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** A guest's network cards, all as one: a {@link NetGate} each. On the engine's loop, unless a method says otherwise. */
public final class GuestNetwork {
    private static final Logger log = LoggerFactory.getLogger(GuestNetwork.class);

    private final String vm;
    private final List<NetGate> gates = new ArrayList<>();

    GuestNetwork(String vm) {
        this.vm = vm;
    }

    /** The next card's; before the network is used. */
    void add(NetGate gate) {
        gates.add(gate);
    }

    /** What the guest sends from now on is held; it belongs to this epoch until that has ended. */
    public void hold(long epoch) {
        gates.forEach(gate -> gate.startHolding(epoch));
    }

    /** What the guest sent so far belongs to epochs up to this one. Any thread, while output is held. */
    public void endEpoch(long epoch) {
        gates.forEach(gate -> gate.mark(epoch));
    }

    /** Lets output of epochs up to this one go. */
    public void release(long epoch) {
        for (NetGate gate : gates) {
            gate.release(epoch);
        }
    }

    /**
     * Copies output that is held: frames of epochs above {@code after} and up to {@code through}, at most {@code maxBytes} of them.
     *
     * @param target as {@link NetFrames} has it
     */
    public void copyHeld(long after, long through, int maxBytes, ByteBuf target) {
        for (int i = 0; i < gates.size(); i++) {
            int card = i;
            gates.get(i).showHeld(after, through, (memory, offset, length) -> {
                if (target.readableBytes() + length <= maxBytes) {
                    NetFrames.writeHeader(target, card, length);
                    target.writeBytes(memory.asSlice(offset, length).asByteBuffer());
                }
            });
        }
    }

    /** Who is shown a copy of each frame the guest is given from now on, on a gate's thread; null: nobody. */
    public void watchInput(@Nullable InputCopies copies) {
        for (int i = 0; i < gates.size(); i++) {
            int card = i;
            gates.get(i)
                    .watchInput(
                            copies == null
                                    ? null
                                    : (epoch, memory, offset, length) ->
                                            copies.received(card, epoch, memory.asSlice(offset, length)));
        }
    }

    /** Sends frames that this guest sent on the host that ran it before. */
    public void sendFromBefore(ByteBuf frames) {
        NetFrames.forEach(frames, gates.size(), (card, offset, length) -> {
            // The tap takes memory outside the heap only.
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment memory = arena.allocate(length);
                frames.getBytes(offset, memory.asByteBuffer());
                gates.get(card).sendFromBefore(memory, 0, length);
            }
        });
    }

    /** Gives the guest frames again that it was given on the host that ran it before. */
    public void deliverAgain(ByteBuf frames) {
        NetFrames.forEach(frames, gates.size(), (card, offset, length) -> {
            try {
                gates.get(card).deliver(frames.nioBuffer(offset, length));
            } catch (IOException e) {
                log.debug("{}: a frame from before the takeover was not given to the guest", vm, e);
            }
        });
    }

    /** Lets all output go, what is held and what comes. */
    public void open() {
        gates.forEach(NetGate::openNow);
    }

    /** Frames that wait for their commit. */
    public long heldFrames() {
        return gates.stream().mapToLong(gate -> gate.counters().heldFrames()).sum();
    }

    /** Nothing more goes in or out. Any thread. */
    void close() {
        gates.forEach(NetGate::close);
    }
}
