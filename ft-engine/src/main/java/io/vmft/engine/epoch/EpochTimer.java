package io.vmft.engine.epoch;

import io.vmft.kvm.Harvest;
import java.util.ArrayDeque;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Notes the moments of the epochs on their way and puts them together; a pause is reported when it is over, an epoch when its output is
 * released. Moments of a pause may come in any order. On the engine's loop only.
 */
public final class EpochTimer {
    /** Of one epoch, what is known so far; 0: not yet. */
    private static final class Open {
        final long epoch;
        final long due;
        final long begun;
        final long triggered;

        @Nullable
        Harvest harvest;

        long stopped;
        long resumed;

        @Nullable
        PauseTimes pause;

        boolean voided;
        long sealed;
        long sent;
        long completed;
        long committed;

        Open(long epoch, long due, long begun, long triggered) {
            this.epoch = epoch;
            this.due = due;
            this.begun = begun;
            this.triggered = triggered;
        }
    }

    private final EpochStats stats;
    /** Oldest first; at most as many as may be in flight, and one. */
    private final ArrayDeque<Open> open = new ArrayDeque<>();

    public EpochTimer(EpochStats stats) {
        this.stats = stats;
    }

    /** A checkpoint's pages are copied, its command is given. One before it whose pause never ended (the guest was stopped, or QEMU failed) is forgotten. */
    public void triggered(long epoch, long dueNanos, long begunNanos, long nanos) {
        if (!open.isEmpty() && open.getLast().pause == null) {
            open.removeLast();
        }
        open.addLast(new Open(epoch, dueNanos, begunNanos, nanos));
    }

    /** The guest stood still from one moment to the other. */
    public void resumed(long stoppedNanos, long resumedNanos) {
        if (open.isEmpty() || open.getLast().resumed != 0) {
            return;
        }
        Open last = open.getLast();
        last.stopped = stoppedNanos;
        last.resumed = resumedNanos;
        endPause(last);
    }

    public void harvested(Harvest harvest) {
        if (open.isEmpty() || open.getLast().epoch != harvest.epoch()) {
            return;
        }
        Open last = open.getLast();
        last.harvest = harvest;
        endPause(last);
    }

    private void endPause(Open last) {
        Harvest harvest = last.harvest;
        if (harvest == null || last.resumed == 0) {
            return;
        }
        PauseTimes pause = PauseTimes.of(harvest, last.due, last.begun, last.triggered, last.stopped, last.resumed);
        last.pause = pause;
        stats.pause(pause);
        if (!harvest.valid() || last.voided) {
            open.removeLast();
        }
    }

    /** A checkpoint whose harvest was valid did not become one. */
    public void voided(long epoch) {
        if (open.isEmpty() || open.getLast().epoch != epoch) {
            return;
        }
        Open last = open.getLast();
        last.voided = true;
        if (last.pause != null) {
            open.removeLast();
        }
    }

    public void sealed(long epoch, long nanos) {
        upTo(epoch, each -> {
            if (each.epoch == epoch) {
                each.sealed = nanos;
            }
        });
    }

    public void sent(long epoch, long nanos) {
        upTo(epoch, each -> {
            if (each.epoch == epoch) {
                each.sent = nanos;
            }
        });
    }

    public void completed(long epoch, long nanos) {
        upTo(epoch, each -> {
            if (each.epoch == epoch) {
                each.completed = nanos;
            }
        });
    }

    /** This epoch and those before it. */
    public void committed(long epoch, long nanos) {
        upTo(epoch, each -> each.committed = nanos);
    }

    /** This epoch and those before it. */
    public void released(long epoch, long nanos) {
        while (!open.isEmpty() && open.getFirst().epoch <= epoch) {
            Open done = open.removeFirst();
            PauseTimes pause = done.pause;
            // Without one an operator had stopped the guest before.
            if (pause != null) {
                stats.epoch(new EpochTimes(pause, done.sealed, done.sent, done.completed, done.committed, nanos));
            }
        }
    }

    private void upTo(long epoch, Consumer<Open> change) {
        for (Open each : open) {
            if (each.epoch > epoch) {
                return;
            }
            change.accept(each);
        }
    }
}
