package io.vmft.engine.net;

/**
 * What a gate did so far. The numbers are read one after another, so they may be a frame apart.
 *
 * @param mode what it does now
 * @param heldFrames waiting for their epoch now
 * @param heldBytes bytes of those
 * @param releasedFrames held, then sent on
 * @param passedFrames sent from the guest to the host without being held
 * @param receivedFrames sent from the host to the guest
 * @param droppedFromGuest not sent on: the gate was closed, or the host's interface did not take them
 * @param droppedToGuest not given to the guest: the gate was closed, or QEMU was gone
 * @param fullNanos how long reading from the guest stood still because the bound was reached, nanoseconds
 */
public record GateCounters(
        NetGate.Mode mode,
        int heldFrames,
        long heldBytes,
        long releasedFrames,
        long passedFrames,
        long receivedFrames,
        long droppedFromGuest,
        long droppedToGuest,
        long fullNanos) {}
