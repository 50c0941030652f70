package io.vmft.engine.vm;

import io.vmft.engine.qemu.QemuExit;
import io.vmft.kvm.Chunk;
import io.vmft.kvm.Harvest;

/** What happens to a {@link GuestVm}. Called on the engine's loop. */
public interface VmEvents {
    /** Pages of a checkpoint; the receiver gives the slot back. */
    void chunk(Chunk chunk);

    /** What all of memory held in a pause, as {@link GuestVm#arm} asked; before {@link #harvested}. */
    default void digests(long epoch, int[] digests) {}

    /** The pause's work is done; if it is valid, the tracker is owed whether its epoch is sealed or void. */
    void harvested(Harvest harvest);

    /** QEMU stood still from one moment of {@link System#nanoTime} to the other, by its own events. */
    void resumed(long stoppedNanos, long resumedNanos);

    /** A network card carries no frames any more: its tap was deleted, or its stream broke. */
    void networkLost(String why);

    /** A connection to QEMU ended some seconds ago, and QEMU, which nobody told to end, is still there: it answers nothing any more. */
    void hungUp();

    /** QEMU ended; nothing comes after. */
    void exited(QemuExit exit, boolean guestShutDown);
}
