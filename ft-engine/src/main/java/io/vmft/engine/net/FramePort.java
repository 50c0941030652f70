package io.vmft.engine.net;

import java.io.IOException;
import java.lang.foreign.MemorySegment;

/**
 * The host's end of the gate, where Ethernet frames come and go one by one: a {@link Tap}. One thread sends and one receives at
 * a time; any thread may close.
 */
public interface FramePort extends AutoCloseable {
    /** The name for logs. */
    String name();

    /**
     * Sends one frame.
     *
     * @return false if the host did not take it (its interface is down): to a network, a lost frame
     * @throws IOException if the port is closed or broken
     */
    boolean send(MemorySegment memory, long offset, int lengthBytes) throws IOException;

    /**
     * Waits for one frame and puts it at {@code offset} of {@code memory}.
     *
     * @return its length in bytes; -1 when the port was closed
     * @throws IOException if the port is broken
     */
    int receive(MemorySegment memory, long offset) throws IOException;

    /** Ends both directions; a waiting {@link #receive} returns. Idempotent. */
    @Override
    void close();
}
