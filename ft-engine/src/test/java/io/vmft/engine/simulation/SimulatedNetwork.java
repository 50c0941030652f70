package io.vmft.engine.simulation;

import io.vmft.engine.simulation.SimulatedStorage.Answer;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import java.util.function.Function;

/**
 * What lies between two hosts and the storage host: messages take time, are lost or doubled, and pairs are cut off from each other. Calls to the
 * block server behave as {@code BlkControl}'s: repeated until they are answered, or given up.
 */
final class SimulatedNetwork {
    static final int STORAGE = 2;

    /** Shorter than a slow message takes, so that a repeated call may overtake the first. */
    private static final int ATTEMPT_TICKS = 40;

    /** Longer: two of the same Open are two starts of the VM. */
    private static final int OPEN_ATTEMPT_TICKS = 150;

    private final Schedule schedule;
    private final SimulatedStorage storage;
    private final Runnable excuse;
    private final long[][] cutUntil = new long[3][3];
    private final boolean noisy;

    /**
     * Connects everything.
     *
     * @param excuse a dead host's request changed who may run the VM
     */
    SimulatedNetwork(Schedule schedule, SimulatedStorage storage, Runnable excuse) {
        this.schedule = schedule;
        this.storage = storage;
        this.excuse = excuse;
        this.noisy = schedule.onceIn(2);
    }

    void cut(int some, int other, long ticks) {
        cutUntil[some][other] = schedule.now() + ticks;
        cutUntil[other][some] = schedule.now() + ticks;
    }

    boolean connects(int some, int other) {
        return schedule.now() >= cutUntil[some][other];
    }

    private boolean chance(int n) {
        return noisy && schedule.unusual(n);
    }

    /**
     * Asks until there is an answer.
     *
     * @param wanted whether the caller still wants it
     * @param answered on the caller, once
     */
    void ask(
            SimulatedHost from,
            BooleanSupplier wanted,
            Function<SimulatedStorage, Answer> call,
            Consumer<Answer> answered) {
        attempt(from, wanted, call, answered, new boolean[1], ATTEMPT_TICKS);
    }

    /** As {@link #ask}, never twice at the same time. */
    void askToOpen(
            SimulatedHost from,
            BooleanSupplier wanted,
            Function<SimulatedStorage, Answer> call,
            Consumer<Answer> answered) {
        attempt(from, wanted, call, answered, new boolean[1], OPEN_ATTEMPT_TICKS);
    }

    private void attempt(
            SimulatedHost from,
            BooleanSupplier wanted,
            Function<SimulatedStorage, Answer> call,
            Consumer<Answer> answered,
            boolean[] done,
            int patience) {
        Consumer<Answer> first = answer -> {
            if (!done[0] && wanted.getAsBoolean()) {
                done[0] = true;
                answered.accept(answer);
            }
        };
        send(from, call, first);
        if (patience == ATTEMPT_TICKS && chance(30)) {
            send(from, call, first);
        }
        from.later(patience, () -> {
            if (!done[0] && wanted.getAsBoolean()) {
                attempt(from, wanted, call, answered, done, patience);
            }
        });
    }

    /** One request, which may be lost, and its answer, which may be too. */
    void send(SimulatedHost from, Function<SimulatedStorage, Answer> call, Consumer<Answer> answered) {
        if (chance(25)) {
            return;
        }
        int connection = storage.starts();
        int process = from.incarnation();
        schedule.after(schedule.delay(), () -> {
            if (!storage.isUp() || storage.starts() != connection || !connects(from.number(), STORAGE)) {
                return;
            }
            long generation = storage.record().getGeneration();
            Answer answer = call.apply(storage);
            if (from.incarnation() != process && storage.record().getGeneration() != generation) {
                excuse.run();
            }
            if (chance(25)) {
                return;
            }
            schedule.after(schedule.delay(), () -> {
                if (storage.starts() == connection
                        && from.incarnation() == process
                        && connects(from.number(), STORAGE)) {
                    from.run(() -> answered.accept(answer));
                }
            });
        });
    }
}
