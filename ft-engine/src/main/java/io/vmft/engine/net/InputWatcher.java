package io.vmft.engine.net;

import java.lang.foreign.MemorySegment;

/** Is shown every frame that the guest was given. Called on the gate's thread; must be quick. */
@FunctionalInterface
public interface InputWatcher {
    /**
     * Shows a frame.
     *
     * @param epoch the guest ran in when the frame was on its way to it; the guest may have seen it in a later one, not in an earlier
     * @param memory the gate's again on return
     */
    void received(long epoch, MemorySegment memory, long offset, int lengthBytes);
}
