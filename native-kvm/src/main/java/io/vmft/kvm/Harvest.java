package io.vmft.kvm;

/**
 * How a pause's harvest ended. All its chunks were reported before; QEMU goes on right after.
 *
 * @param epoch as given to {@link Tracker#arm}
 * @param valid false when the checkpoint is void: its chunks do not count (their slots must still be given back), and the
 *     library keeps every page harvested as dirty for the next checkpoint
 * @param dirtyPages pages found dirty, those of void checkpoints before included
 * @param harvestNanos finding them
 * @param copyNanos copying them to slots
 * @param slotWaitNanos waiting for a free slot
 * @param sealWaitNanos waiting for {@link Tracker#sealed} when all else was done
 */
public record Harvest(
        long epoch,
        boolean valid,
        long dirtyPages,
        long harvestNanos,
        long copyNanos,
        long slotWaitNanos,
        long sealWaitNanos) {}
