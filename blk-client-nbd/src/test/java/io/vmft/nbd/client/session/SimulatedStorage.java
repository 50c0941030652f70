package io.vmft.nbd.client.session;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * A server, or what is left of one, and the wires to it. It carries out what it was sent in any order, answers in any order, and
 * goes on with what a cut connection had brought until a newer incarnation of the session is admitted.
 */
final class SimulatedStorage {
    /** An operation as it travels. */
    static final class Step extends Operation {
        final int first;
        final int count;
        /** What a write writes. */
        final long[] values;

        final long submitted;
        private final boolean ordered;

        /** @param ordered whether the machine is told what it conflicts with */
        Step(Kind kind, int first, int count, long submitted, boolean ordered) {
            super(kind, first, count);
            this.first = first;
            this.count = count;
            this.values = new long[count];
            this.submitted = submitted;
            this.ordered = ordered;
        }

        @Override
        boolean conflictsWith(Operation other) {
            return ordered && super.conflictsWith(other);
        }
    }

    /** An answer on its way. */
    static final class Answer {
        final long link;
        final Step step;
        /** What a read found when it was carried out. */
        final long[] seen;
        /** Not carried out: this is a backup's export. */
        final boolean refused;

        Answer(long link, Step step, long[] seen, boolean refused) {
            this.link = link;
            this.step = step;
            this.seen = seen;
            this.refused = refused;
        }
    }

    private static final class Wire {
        final List<Step> toServer = new ArrayList<>();
        final Deque<Answer> toClient = new ArrayDeque<>();
        boolean cut;
    }

    final long[] blocks;
    long generation;
    boolean up = true;
    boolean refusesWrites;
    private final boolean fences;
    private final Random random;
    private final Map<Long, Wire> wires = new HashMap<>();

    SimulatedStorage(int blocks, long generation, boolean fences, Random random) {
        this.blocks = new long[blocks];
        this.generation = generation;
        this.fences = fences;
        this.random = random;
    }

    void admit(long link) {
        if (fences) {
            wires.keySet().removeIf(older -> older < link);
        }
        wires.put(link, new Wire());
    }

    void send(long link, Step step) {
        Wire wire = wires.get(link);
        if (wire != null && !wire.cut) {
            wire.toServer.add(step);
        }
    }

    /** The connection breaks: some of what was on its way arrives, some not, no answer does. */
    void cut(long link) {
        Wire wire = wires.get(link);
        if (wire != null && !wire.cut) {
            wire.cut = true;
            wire.toClient.clear();
            int arrived = random.nextInt(wire.toServer.size() + 1);
            wire.toServer.subList(arrived, wire.toServer.size()).clear();
        }
    }

    /** The process dies: what was not carried out never will be. */
    void crash() {
        wires.clear();
    }

    /** Carries out something that arrived on any wire. */
    void carryOut() {
        List<Long> busy = wires.entrySet().stream()
                .filter(entry -> !entry.getValue().toServer.isEmpty())
                .map(Map.Entry::getKey)
                .toList();
        if (busy.isEmpty()) {
            return;
        }
        long link = busy.get(random.nextInt(busy.size()));
        Wire wire = Objects.requireNonNull(wires.get(link));
        Step step = wire.toServer.remove(random.nextInt(wire.toServer.size()));
        long[] seen = new long[step.count];
        boolean refused = step.kind == Operation.Kind.CHANGE && refusesWrites;
        for (int i = 0; i < step.count; i++) {
            switch (step.kind) {
                case LOOK -> seen[i] = blocks[step.first + i];
                case CHANGE -> {
                    if (!refused) {
                        blocks[step.first + i] = step.values[i];
                    }
                }
                case FLUSH -> {}
            }
        }
        if (!wire.cut) {
            wire.toClient.add(new Answer(link, step, seen, refused));
        }
    }

    @Nullable
    Answer nextAnswer() {
        for (Wire wire : wires.values()) {
            if (!wire.toClient.isEmpty()) {
                return wire.toClient.remove();
            }
        }
        return null;
    }
}
