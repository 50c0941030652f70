package io.vmft.kvm;

/**
 * How a pause's harvest ended. All its chunks were reported before; QEMU goes on right after, and what it sends to its disks waits for {@link Tracker#sealed} if
 * it is valid.
 *
 * <p>Moments are of the kernel's monotonic clock in nanoseconds, which on Linux is that of {@link System#nanoTime}.
 *
 * @param epoch as given to {@link Tracker#arm}
 * @param valid false when the checkpoint is void: its chunks do not count (their slots must still be given back), and the
 *     library keeps every page harvested as dirty for the next checkpoint
 * @param dirtyPages pages found dirty, those of void checkpoints before included; of a valid one as many as its chunks have, for a page
 *     that was written again while it was copied comes again, and the later content counts; one that the last pause found may come
 *     once more unwritten
 * @param preCopiedPages of these, those that {@link Tracker#armAndPreCopy} copied before the pause
 * @param openedNanos when QEMU, the VM stopped and drained, began to write its state
 * @param closedNanos when the state was whole
 * @param foundNanos when the dirty pages were known
 * @param copiedNanos when they were copied, or the checkpoint was void: QEMU went on
 * @param slotWaitNanos how long copying waited for a free slot
 */
public record Harvest(
        long epoch,
        boolean valid,
        long dirtyPages,
        long preCopiedPages,
        long openedNanos,
        long closedNanos,
        long foundNanos,
        long copiedNanos,
        long slotWaitNanos) {
    public Harvest {
        if (closedNanos < openedNanos
                || foundNanos < closedNanos
                || copiedNanos < foundNanos
                || slotWaitNanos > copiedNanos - foundNanos) {
            throw new IllegalArgumentException("epoch " + epoch + ": a pause whose moments are out of order");
        }
    }

    /** Finding the dirty pages. */
    public long harvestNanos() {
        return foundNanos - closedNanos;
    }

    /** Copying them to slots. */
    public long copyNanos() {
        return copiedNanos - foundNanos - slotWaitNanos;
    }
}
