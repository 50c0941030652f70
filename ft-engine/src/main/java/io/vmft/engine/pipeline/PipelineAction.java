package io.vmft.engine.pipeline;

/** What {@link CheckpointPipeline} wants done, in the order given. */
public sealed interface PipelineAction {
    long epoch();

    /** Arm the library for this epoch, and let it copy what is dirty. */
    record Arm(long epoch) implements PipelineAction {}

    /** Net gate: frames read so far belong to epochs up to this one. The guest still runs: what it sends from here on waits for the next epoch. */
    record Mark(long epoch) implements PipelineAction {}

    /** Pause the VM and save its state: one {@code xen-save-devices-state}. */
    record Save(long epoch) implements PipelineAction {}

    /** Ask the block server to seal. */
    record Seal(long epoch) implements PipelineAction {}

    /** Tell the library that the epoch is sealed: what QEMU sends to its disks may go. */
    record ConfirmSealed(long epoch) implements PipelineAction {}

    /** Tell the library that the checkpoint is void: what it harvested is dirty again, and what QEMU sends to its disks may go. */
    record Discard(long epoch) implements PipelineAction {}

    /** Tell the backup to drop what it staged of the epoch. */
    record Abort(long epoch) implements PipelineAction {}

    /** Send device state and the end of the checkpoint to the backup. */
    record SendEnd(long epoch, long pages) implements PipelineAction {}

    /** Ask the block server to commit. */
    record Commit(long epoch) implements PipelineAction {}

    /** Net gate: let frames of epochs up to this one go. */
    record Release(long epoch) implements PipelineAction {}

    /** Tell the backup that epochs up to this one are committed. */
    record TellCommitted(long epoch) implements PipelineAction {}
}
