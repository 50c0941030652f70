package io.vmft.engine;

import com.fasterxml.jackson.annotation.JsonProperty;
import io.vmft.engine.epoch.EpochStats;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * How one engine and its VM stand. Written as JSON by {@code status --json}; scripts rely on these names.
 *
 * @param role {@code primary} or {@code standby}
 * @param mode the arbiter's mode as this engine last learned it, in lower case
 * @param epoch the epoch the VM runs in; 0 while unprotected
 * @param completeEpoch the newest epoch the backup holds whole
 * @param epochs checkpoints committed since this engine became what it is
 * @param pauseMsP50 by QEMU's own STOP and RESUME events
 * @param phases how long each part of an epoch's checkpoint takes, by the names of {@link io.vmft.engine.epoch.Phase}; empty on a standby
 * @param throttledMs how long, in all, epochs were lengthened and the guest stood still because backup or block server were slow
 * @param dirtyPagesLast pages of the last checkpoint
 * @param heldFrames guest output waiting for its commit now
 * @param verifiedEpochs epochs at which this standby found its whole memory equal to the primary's
 * @param peer the other engine's address, if there is one
 * @param voidCheckpoints checkpoints that failed and were tried again
 */
public record EngineStatus(
        @JsonProperty("vm") String vm,
        @JsonProperty("host") String host,
        @JsonProperty("role") String role,
        @JsonProperty("mode") String mode,
        @JsonProperty("state") String state,
        @JsonProperty("generation") long generation,
        @JsonProperty("epoch") long epoch,
        @JsonProperty("committed_epoch") long committedEpoch,
        @JsonProperty("complete_epoch") long completeEpoch,
        @JsonProperty("epochs") long epochs,
        @JsonProperty("void_checkpoints") long voidCheckpoints,
        @JsonProperty("pause_ms_p50") double pauseMsP50,
        @JsonProperty("pause_ms_p99") double pauseMsP99,
        @JsonProperty("phases") Map<String, EpochStats.Summary> phases,
        @JsonProperty("throttled_ms") double throttledMs,
        @JsonProperty("dirty_pages_last") long dirtyPagesLast,
        @JsonProperty("held_frames") long heldFrames,
        @JsonProperty("verified_epochs") long verifiedEpochs,
        @JsonProperty("accelerator") String accelerator,
        @JsonProperty("qemu_version") String qemuVersion,
        @JsonProperty("qemu_pid") long qemuPid,
        @JsonProperty("engine_pid") long enginePid,
        @JsonProperty("peer") @Nullable String peer,
        @JsonProperty("listen") @Nullable String listen,
        @JsonProperty("last_takeover") @Nullable TakeOver lastTakeOver,
        @JsonProperty("copying") @Nullable Copying copying) {
    /**
     * How checkpoints' pages go to the backup.
     *
     * @param dirtyBytes of dirty pages since this backup was taken
     * @param sentBytes what of them went over the wire
     * @param compressing whether they are compressed now
     */
    public record Copying(
            @JsonProperty("dirty_bytes") long dirtyBytes,
            @JsonProperty("sent_bytes") long sentBytes,
            @JsonProperty("compressing") boolean compressing) {}

    /**
     * A takeover by this engine.
     *
     * @param epoch from which the VM went on
     * @param millis from suspicion to the VM running
     */
    public record TakeOver(
            @JsonProperty("epoch") long epoch,
            @JsonProperty("millis") double millis,
            @JsonProperty("reason") String reason) {}
}
