package io.vmft.engine.simulation;

import java.util.ArrayDeque;
import org.jspecify.annotations.Nullable;

/**
 * A host with one engine process, which may die, stand still and be started again. What is to happen in the process goes through
 * {@link #run}: while it stands still it waits, in order.
 */
final class SimulatedHost {
    private final int number;
    private final Schedule schedule;
    private final ArrayDeque<Runnable> waiting = new ArrayDeque<>();
    private int incarnation;
    private boolean alive = true;
    private long stoppedUntil;
    private long guestStoppedUntil;
    private @Nullable SimulatedPrimary primary;
    private @Nullable SimulatedStandby standby;
    private @Nullable SimulatedLink link;

    SimulatedHost(int number, Schedule schedule) {
        this.number = number;
        this.schedule = schedule;
    }

    int number() {
        return number;
    }

    String name() {
        return number == 0 ? "a" : "b";
    }

    /** Counts processes; what an earlier one was to do is not done. */
    int incarnation() {
        return incarnation;
    }

    boolean isAlive() {
        return alive;
    }

    @Nullable
    SimulatedPrimary primary() {
        return primary;
    }

    @Nullable
    SimulatedStandby standby() {
        return standby;
    }

    void become(@Nullable SimulatedPrimary now) {
        primary = now;
        standby = null;
    }

    void become(@Nullable SimulatedStandby now) {
        standby = now;
        primary = null;
    }

    void forgetRoles() {
        primary = null;
        standby = null;
    }

    void connected(SimulatedLink to) {
        link = to;
    }

    /** Now, or when the process goes on, or never if it dies before. */
    void run(Runnable action) {
        if (!alive) {
            return;
        }
        if (schedule.now() < stoppedUntil || !waiting.isEmpty()) {
            waiting.add(action);
        } else {
            action.run();
        }
    }

    /** As {@link #run}, for this process only, in {@code ticks}. */
    void later(long ticks, Runnable action) {
        int mine = incarnation;
        schedule.after(ticks, () -> {
            if (mine == incarnation) {
                run(action);
            }
        });
    }

    boolean guestRuns() {
        return schedule.now() >= guestStoppedUntil;
    }

    /** SIGSTOP of the engine, or of everything. */
    void standStill(long ticks, boolean guestToo) {
        stoppedUntil = Math.max(stoppedUntil, schedule.now() + ticks);
        if (guestToo) {
            guestStoppedUntil = stoppedUntil;
        }
        schedule.after(stoppedUntil - schedule.now(), this::goOn);
    }

    private void goOn() {
        int mine = incarnation;
        while (schedule.now() >= stoppedUntil && mine == incarnation) {
            Runnable next = waiting.peek();
            if (next == null) {
                return;
            }
            next.run();
            if (mine == incarnation) {
                waiting.remove();
            }
        }
    }

    /** The process dies, and its QEMU with it. */
    void die(boolean wholeHost) {
        alive = false;
        incarnation++;
        waiting.clear();
        stoppedUntil = 0;
        guestStoppedUntil = 0;
        if (standby != null) {
            standby.release();
        }
        primary = null;
        standby = null;
        if (link != null) {
            link.died(this, wholeHost);
            link = null;
        }
    }

    void start() {
        alive = true;
    }
}
