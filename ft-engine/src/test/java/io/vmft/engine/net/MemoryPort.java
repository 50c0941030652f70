package io.vmft.engine.net;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;

/** A tap without a host: what is sent is kept, what is to be received is put in. Thread-safe. */
public final class MemoryPort implements FramePort {
    private static final byte[] END = {};

    private final List<byte[]> sent = new CopyOnWriteArrayList<>();
    private final BlockingQueue<byte[]> toReceive = new LinkedBlockingQueue<>();
    private volatile boolean closed;
    private volatile boolean up = true;
    private volatile boolean broken;

    @Override
    public String name() {
        return "memory";
    }

    /** What came out of the gate so far. */
    public List<byte[]> sent() {
        return sent;
    }

    /** Lets the gate receive a frame. */
    public void offer(byte[] frame) {
        toReceive.add(frame);
    }

    void setUp(boolean up) {
        this.up = up;
    }

    void breakDown() {
        broken = true;
    }

    boolean isClosed() {
        return closed;
    }

    @Override
    public boolean send(MemorySegment memory, long offset, int lengthBytes) throws IOException {
        if (closed || broken) {
            throw new IOException("the port is broken");
        }
        if (up) {
            sent.add(memory.asSlice(offset, lengthBytes).toArray(ValueLayout.JAVA_BYTE));
        }
        return up;
    }

    @Override
    public int receive(MemorySegment memory, long offset) throws IOException {
        try {
            byte[] frame = toReceive.take();
            MemorySegment.copy(frame, 0, memory, ValueLayout.JAVA_BYTE, offset, frame.length);
            return frame.length == 0 ? -1 : frame.length;
        } catch (InterruptedException e) {
            throw new IOException(e);
        }
    }

    @Override
    public void close() {
        closed = true;
        toReceive.add(END);
    }
}
