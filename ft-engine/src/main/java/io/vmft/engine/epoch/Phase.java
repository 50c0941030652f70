package io.vmft.engine.epoch;

import java.util.Locale;

/**
 * A part of an epoch's checkpoint. Those up to {@link #RESUME} divide the time from when it is due until the guest runs again; {@link
 * #PAUSE} is the part of it in which the guest stands still. The last five follow while the guest runs.
 */
public enum Phase {
    /** The epoch was to end and could not: as many as may be were on their way, so the backup or the block server is slow. */
    LATE(true),
    /** Dirty pages are copied while the guest runs. */
    PRECOPY(true),
    /** From the command to the guest's standing still. */
    TRIGGER(true),
    /** Draining and flushing its disks. */
    STOP(true),
    /** QEMU writes CPU and device state. */
    STATE(true),
    /** Finding dirty pages. */
    HARVEST(true),
    /** Copying them. */
    COPY(true),
    /** No room for copies: the backup is slower than the guest. */
    ROOM(true),
    /** QEMU starts the guest again. */
    RESUME(true),
    /** All in which the guest stands still, by QEMU's STOP and RESUME events. */
    PAUSE(true),
    /** From the last copy until the block server's line is drawn; what the guest wants of its disks waits. */
    SEAL(false),
    /** Until all of it was sent to the backup. */
    SEND(false),
    /** Until the backup had it. */
    COMPLETE(false),
    /** Until the block server had committed it. */
    COMMIT(false),
    /** Until its output was out. */
    RELEASE(false);

    private final boolean ofPause;

    Phase(boolean ofPause) {
        this.ofPause = ofPause;
    }

    /** Whether it is over when the guest runs again. */
    public boolean isOfPause() {
        return ofPause;
    }

    /** How long it took; a phase of the pause. Two clocks meet in some phases, so that it may be a microsecond less than nothing. */
    public long nanos(PauseTimes times) {
        return switch (this) {
            case LATE -> times.begunNanos() - times.dueNanos();
            case PRECOPY -> times.triggeredNanos() - times.begunNanos();
            case TRIGGER -> times.stoppedNanos() - times.triggeredNanos();
            case STOP -> times.openedNanos() - times.stoppedNanos();
            case STATE -> times.closedNanos() - times.openedNanos();
            case HARVEST -> times.foundNanos() - times.closedNanos();
            case COPY -> times.copiedNanos() - times.foundNanos() - times.slotWaitNanos();
            case ROOM -> times.slotWaitNanos();
            case RESUME -> times.resumedNanos() - times.copiedNanos();
            case PAUSE -> times.resumedNanos() - times.stoppedNanos();
            case SEAL, SEND, COMPLETE, COMMIT, RELEASE ->
                throw new IllegalArgumentException(this + " comes after the pause");
        };
    }

    /** How long it took. */
    public long nanos(EpochTimes times) {
        return switch (this) {
            case SEAL -> times.sealedNanos() - times.pause().copiedNanos();
            case SEND -> times.sentNanos() - times.sealedNanos();
            case COMPLETE -> times.completedNanos() - times.sentNanos();
            case COMMIT -> times.committedNanos() - times.completedNanos();
            case RELEASE -> times.releasedNanos() - times.committedNanos();
            case LATE, PRECOPY, TRIGGER, STOP, STATE, HARVEST, COPY, ROOM, RESUME, PAUSE -> nanos(times.pause());
        };
    }

    /** As status and metrics name it. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
