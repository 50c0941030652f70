package io.vmft.engine.vm;

import java.lang.foreign.MemorySegment;

/** Is shown every frame that a guest is given. Called on a gate's thread, of which each card has one; must be quick. */
@FunctionalInterface
public interface InputCopies {
    /**
     * Shows a frame.
     *
     * @param frame the gate's again on return
     */
    void received(int card, long epoch, MemorySegment frame);
}
