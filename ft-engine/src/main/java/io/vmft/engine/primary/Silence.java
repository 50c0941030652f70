package io.vmft.engine.primary;

import java.time.Duration;

/**
 * How long QEMU owes the answer to a command, as far as that is QEMU's own time: what passes while something else keeps it waiting, or while this
 * process stands still itself, does not count. A pure state machine: it is told of what happens and of the time, and asks nobody.
 */
final class Silence {
    /** Looks that are farther apart than this were held up here: a stopped or starved engine must not blame QEMU. */
    static final Duration MAX_STEP = Duration.ofSeconds(2);

    private boolean owed;
    private long lookedNanos;
    private long silentNanos;

    /** QEMU has been given a command. */
    void asked() {
        owed = true;
        silentNanos = 0;
    }

    /** A sign that QEMU is at work on it. */
    void heard() {
        silentNanos = 0;
    }

    /** QEMU has answered it, in whatever way. */
    void answered() {
        owed = false;
        silentNanos = 0;
    }

    /**
     * To be called about once a second.
     *
     * @param excused whether something that QEMU may be waiting for was missing since the last look: counting begins anew
     * @return how long it has been silent
     */
    Duration look(long nowNanos, boolean excused) {
        long sinceLook = Math.min(nowNanos - lookedNanos, MAX_STEP.toNanos());
        lookedNanos = nowNanos;
        silentNanos = owed && !excused ? silentNanos + sinceLook : 0;
        return Duration.ofNanos(silentNanos);
    }
}
