package io.vmft.engine.net;

import java.lang.foreign.MemorySegment;

/** Takes frames out of the gate. */
@FunctionalInterface
public interface FrameSink {
    /** Takes the {@code lengthBytes} bytes at {@code offset} of {@code memory}, which is the caller's again on return. */
    void frame(MemorySegment memory, long offset, int lengthBytes);
}
