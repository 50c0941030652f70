package io.vmft.engine.epoch;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.vmft.kvm.Harvest;

/**
 * The moments of one pause, in nanoseconds of {@link System#nanoTime}, in the order in which they come.
 *
 * @param valid false: the checkpoint was void, the guest stood still for nothing
 * @param preCopiedPages of the dirty pages, those copied before the pause
 * @param dueNanos the epoch was to end
 * @param begunNanos its pre-copy began
 * @param triggeredNanos the command was given to QEMU; the guest still runs
 * @param stoppedNanos QEMU's STOP event
 * @param openedNanos the disks are drained, QEMU begins to write its state
 * @param closedNanos the state is whole
 * @param foundNanos the dirty pages are known
 * @param copiedNanos and copied: the library lets QEMU go on
 * @param resumedNanos QEMU's RESUME event
 * @param slotWaitNanos how long, of the time between found and copied, there was no room in staging
 */
public record PauseTimes(
        @JsonProperty("epoch") long epoch,
        @JsonProperty("valid") boolean valid,
        @JsonProperty("dirty_pages") long dirtyPages,
        @JsonProperty("precopied_pages") long preCopiedPages,
        @JsonProperty("due") long dueNanos,
        @JsonProperty("begun") long begunNanos,
        @JsonProperty("triggered") long triggeredNanos,
        @JsonProperty("stopped") long stoppedNanos,
        @JsonProperty("opened") long openedNanos,
        @JsonProperty("closed") long closedNanos,
        @JsonProperty("found") long foundNanos,
        @JsonProperty("copied") long copiedNanos,
        @JsonProperty("resumed") long resumedNanos,
        @JsonProperty("slot_wait") long slotWaitNanos) {

    /** Puts together what the engine and the library saw. */
    static PauseTimes of(
            Harvest harvest,
            long dueNanos,
            long begunNanos,
            long triggeredNanos,
            long stoppedNanos,
            long resumedNanos) {
        return new PauseTimes(
                harvest.epoch(),
                harvest.valid(),
                harvest.dirtyPages(),
                harvest.preCopiedPages(),
                dueNanos,
                begunNanos,
                triggeredNanos,
                stoppedNanos,
                harvest.openedNanos(),
                harvest.closedNanos(),
                harvest.foundNanos(),
                harvest.copiedNanos(),
                resumedNanos,
                harvest.slotWaitNanos());
    }
}
