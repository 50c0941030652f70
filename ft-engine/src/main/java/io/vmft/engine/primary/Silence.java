package io.vmft.engine.primary;

import java.time.Duration;

/**
 * How long QEMU owes the answer to a command, as far as that is QEMU's own time: what passes while something else keeps it waiting, or while this
 * process stands still itself, does not count. A pure state machine: it is told of what happens and of the time, as of {@link System#nanoTime}, and
 * asks nobody.
 */
final class Silence {
    /** Looks that are farther apart than this were held up here: a stopped or starved engine must not blame QEMU. */
    static final Duration MAX_STEP = Duration.ofSeconds(2);
    /** Of a connection that was cut off TCP tries again after about as long as that lasted, but after no more than this. */
    static final Duration MAX_CREDIT = Duration.ofMinutes(2);

    private boolean owed;
    private long lookedNanos;
    private long silentNanos;
    private long creditNanos;

    /** QEMU has been given a command. */
    void asked(long nowNanos) {
        owed = true;
        heard(nowNanos);
    }

    /** A sign that QEMU is at work on it. */
    void heard(long nowNanos) {
        silentNanos = 0;
        lookedNanos = nowNanos;
    }

    /** QEMU has answered it, in whatever way. */
    void answered() {
        owed = false;
        silentNanos = 0;
        creditNanos = 0;
    }

    /**
     * To be called about once a second.
     *
     * @param excused whether something that QEMU may be waiting for was missing since the last look: counting begins anew, and only after as long
     *     again
     * @return how long it has been silent
     */
    Duration look(long nowNanos, boolean excused) {
        long sinceLook = Math.min(nowNanos - lookedNanos, MAX_STEP.toNanos());
        lookedNanos = nowNanos;
        if (excused) {
            silentNanos = 0;
            creditNanos = Math.min(creditNanos + sinceLook, MAX_CREDIT.toNanos());
        } else if (owed) {
            silentNanos += sinceLook;
        }
        return Duration.ofNanos(Math.max(0, silentNanos - creditNanos));
    }
}
