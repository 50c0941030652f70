package io.vmft.engine.simulation;

import java.util.ArrayDeque;
import java.util.function.Consumer;

/**
 * A connection between two engines: in order each way, cut anywhere. Each end notices in its own time that the other is gone: when its
 * process ended or closed, or after {@link #TIMEOUT_TICKS} of silence.
 */
final class SimulatedLink {
    static final int TIMEOUT_TICKS = 60;
    private static final int HEARTBEAT_TICKS = 20;

    private final class End {
        final SimulatedHost owner;
        final int incarnation;
        final Consumer<String> closed;
        /** On their way to this end. */
        final ArrayDeque<Runnable> coming = new ArrayDeque<>();

        boolean open = true;
        long heardAt = schedule.now();
        long newestAt;

        End(SimulatedHost owner, Consumer<String> closed) {
            this.owner = owner;
            this.incarnation = owner.incarnation();
            this.closed = closed;
        }

        boolean lives() {
            return open && owner.incarnation() == incarnation;
        }

        void arrive() {
            if (!network.connects(0, 1)) {
                schedule.after(HEARTBEAT_TICKS, this::arrive);
                return;
            }
            Runnable message = coming.remove();
            owner.run(() -> {
                if (lives()) {
                    heardAt = schedule.now();
                    message.run();
                }
            });
        }

        void beat() {
            if (!lives()) {
                return;
            }
            owner.run(() -> {
                if (lives()) {
                    send(owner, () -> {});
                    if (schedule.now() - heardAt > TIMEOUT_TICKS) {
                        shut(this, "silent");
                    }
                }
            });
            schedule.after(HEARTBEAT_TICKS, this::beat);
        }
    }

    private final Schedule schedule;
    private final SimulatedNetwork network;
    private final End[] ends = new End[2];

    /** Connected; each end hears on its host, once, that it is closed, unless it closed it itself. */
    SimulatedLink(
            Schedule schedule,
            SimulatedNetwork network,
            SimulatedHost some,
            Consumer<String> someClosed,
            SimulatedHost other,
            Consumer<String> otherClosed) {
        this.schedule = schedule;
        this.network = network;
        ends[some.number()] = new End(some, someClosed);
        ends[other.number()] = new End(other, otherClosed);
        ends[0].beat();
        ends[1].beat();
    }

    boolean isOpen(SimulatedHost owner) {
        return ends[owner.number()].lives();
    }

    void send(SimulatedHost from, Runnable message) {
        if (ends[from.number()].lives()) {
            put(ends[1 - from.number()], message);
        }
    }

    private void put(End to, Runnable message) {
        to.coming.add(message);
        to.newestAt = Math.max(to.newestAt, schedule.now() + schedule.delay());
        schedule.after(to.newestAt - schedule.now(), to::arrive);
    }

    /** The owner wants no more of it. */
    void close(SimulatedHost owner) {
        End end = ends[owner.number()];
        if (end.open) {
            end.open = false;
            End far = ends[1 - owner.number()];
            put(far, () -> shut(far, "closed by the other side"));
        }
    }

    /** The owner's process died: its system closes for it, unless the whole host is gone. */
    void died(SimulatedHost owner, boolean wholeHost) {
        End end = ends[owner.number()];
        end.open = false;
        if (!wholeHost) {
            End far = ends[1 - owner.number()];
            put(far, () -> shut(far, "closed by the other side"));
        }
    }

    private void shut(End end, String why) {
        if (end.lives()) {
            close(end.owner);
            end.closed.accept(why);
        }
    }
}
