package io.vmft.nbd.client.session;

import io.vmft.nbd.client.session.Operation.Kind;
import io.vmft.nbd.client.session.SimulatedStorage.Answer;
import io.vmft.nbd.client.session.SimulatedStorage.Step;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * {@link ReplayMachine} against {@link SimulatedStorage}s whose connections break at any moment, which crash, stay away, take over with
 * or without loss, and one of which is an old copy. A run is its seed.
 *
 * <p>Judged is what the application sees: each block is what the last write that was answered made of it, or one that was given up
 * after it was sent; after a takeover it is what was committed.
 */
final class ReplaySimulation implements ReplayMachine.Driver<Step> {
    private static final int BLOCKS = 6;
    private static final long PATIENCE = 5_000_000_000L;

    /** What is wrong on purpose. */
    enum Mistake {
        NONE,
        /** The server carries out what older connections brought. */
        NO_FENCE,
        /** The machine is not told what conflicts. */
        NO_ORDER
    }

    private final Random random;
    private final Mistake mistake;
    /** 0 and 1 are ways to the same storage. */
    private final SimulatedStorage storage;

    private final SimulatedStorage oldCopy;
    private final ReplayMachine<Step> machine;

    private long now = 1;
    private long wakeAt = Long.MAX_VALUE;
    private long nextValue = 1;
    private @Nullable Long connecting;
    private int connectingEndpoint;
    private @Nullable Long linked;
    private final long[] committed = new long[BLOCKS];
    /** What each block may hold, as far as the application can know. */
    private final List<Set<Long>> possible = new ArrayList<>();

    private final List<Step> open = new ArrayList<>();
    int answered;
    int gaveUp;
    int links;

    ReplaySimulation(long seed, Mistake mistake) {
        random = new Random(seed);
        this.mistake = mistake;
        storage = new SimulatedStorage(BLOCKS, 5, mistake != Mistake.NO_FENCE, random);
        oldCopy = new SimulatedStorage(BLOCKS, 4, true, random);
        Arrays.fill(oldCopy.blocks, -1);
        for (int block = 0; block < BLOCKS; block++) {
            possible.add(Set.of(0L));
        }
        machine = new ReplayMachine<>(this, new ReplayMachine.Limits(3, PATIENCE, 2_000_000_000L), new Random(seed));
        machine.start(storage.generation, now);
    }

    /** Runs for a while, then with everything healthy until nothing is open. */
    void run() {
        for (int i = 0; i < 400; i++) {
            step();
        }
        storage.up = true;
        storage.refusesWrites = false;
        for (int i = 0; !open.isEmpty(); i++) {
            if (i > 20_000) {
                throw new AssertionError(open.size() + " operations are never answered nor given up");
            }
            healthyStep();
        }
        machine.close(new IOException("done"));
    }

    private void step() {
        switch (random.nextInt(24)) {
            case 0 -> cutLink(random.nextBoolean());
            case 1 -> {
                if (random.nextInt(3) == 0) {
                    storage.crash();
                    loseLink();
                }
            }
            case 2 -> {
                storage.up = random.nextInt(4) != 0;
                storage.refusesWrites = random.nextInt(4) == 0;
            }
            case 3 -> {
                if (random.nextInt(4) == 0) {
                    takeOver();
                } else {
                    System.arraycopy(storage.blocks, 0, committed, 0, BLOCKS);
                }
            }
            case 4, 5, 6, 7, 8, 9 -> submit();
            default -> healthyStep();
        }
    }

    private void healthyStep() {
        now += random.nextInt(20_000_000);
        if (random.nextInt(50) == 0) {
            now += 1_000_000_000;
        }
        switch (random.nextInt(4)) {
            case 0 -> connect();
            case 1 -> {
                if (storage.up) {
                    storage.carryOut();
                }
            }
            case 2 -> {
                Answer answer = storage.nextAnswer();
                if (answer != null) {
                    receive(answer);
                }
            }
            default -> {
                if (now >= wakeAt) {
                    wakeAt = Long.MAX_VALUE;
                    machine.wake(now);
                }
            }
        }
    }

    private void submit() {
        int first = random.nextInt(BLOCKS);
        int count = 1 + random.nextInt(Math.min(3, BLOCKS - first));
        Kind kind = random.nextInt(9) == 0 ? Kind.FLUSH : random.nextBoolean() ? Kind.CHANGE : Kind.LOOK;
        now++;
        Step step = new Step(kind, first, count, now, mistake != Mistake.NO_ORDER);
        if (kind == Kind.CHANGE) {
            for (int i = 0; i < count; i++) {
                step.values[i] = nextValue++;
            }
        }
        open.add(step);
        machine.submit(step, now);
    }

    private void connect() {
        Long link = connecting;
        if (link == null) {
            return;
        }
        if (connectingEndpoint == 2) {
            connecting = null;
            oldCopy.admit(link);
            machine.connected(link, 2, oldCopy.generation, now);
        } else if (storage.up) {
            connecting = null;
            linked = link;
            links++;
            storage.admit(link);
            machine.connected(link, connectingEndpoint, storage.generation, now);
        } else if (random.nextInt(4) == 0) {
            connecting = null;
            machine.failed(link, new IOException("nobody there"), false, now);
        }
    }

    private void cutLink(boolean noticed) {
        if (linked != null) {
            storage.cut(linked);
            if (noticed) {
                loseLink();
            }
        }
    }

    private void loseLink() {
        Long link = linked;
        if (link != null) {
            linked = null;
            machine.lost(link, new IOException("cut"), now);
        }
    }

    /** Another host goes on from what was committed; what came after never was. */
    private void takeOver() {
        storage.crash();
        storage.generation++;
        System.arraycopy(committed, 0, storage.blocks, 0, BLOCKS);
        for (int block = 0; block < BLOCKS; block++) {
            possible.set(block, Set.of(committed[block]));
        }
        loseLink();
    }

    private void receive(Answer answer) {
        Step step = answer.step;
        now++;
        if (!machine.isPending(step, answer.link)) {
            return;
        }
        if (answer.refused) {
            machine.unfit(step, answer.link, new IOException("not the primary"), now);
            return;
        }
        answered++;
        open.remove(step);
        for (int i = 0; i < step.count; i++) {
            judge(step, step.first + i, step.kind == Kind.LOOK ? answer.seen[i] : step.values[i]);
        }
        if (!machine.answered(step, answer.link, now)) {
            throw new AssertionError("pending, and yet not taken");
        }
    }

    private void judge(Step step, int block, long value) {
        if (step.kind == Kind.LOOK && !possible.get(block).contains(value)) {
            throw new AssertionError(
                    "block " + block + " holds " + value + " where it can only hold " + possible.get(block));
        }
        if (step.kind != Kind.FLUSH) {
            possible.set(block, Set.of(value));
        }
    }

    // --- what the machine wants ---

    @Override
    public void connect(int endpoint, long link) {
        if (linked != null) {
            throw new AssertionError("connects while linked");
        }
        connecting = link;
        connectingEndpoint = endpoint;
    }

    @Override
    public void disconnect(long link) {
        if (Objects.equals(linked, link)) {
            linked = null;
            storage.cut(link);
        }
        if (Objects.equals(connecting, link)) {
            connecting = null;
        }
    }

    @Override
    public void send(long link, Step step) {
        if (!Objects.equals(linked, link) && connectingEndpoint != 2) {
            throw new AssertionError("sends on a link that is not established");
        }
        if (connectingEndpoint == 2) {
            throw new AssertionError("sends to the old copy");
        }
        for (Step other : open) {
            if (other != step && other.submitted < step.submitted && other.conflictsWith(step)) {
                throw new AssertionError("sent while an earlier one that overlaps is unanswered");
            }
        }
        storage.send(link, step);
    }

    @Override
    public void giveUp(Step step, boolean sent, IOException reason) {
        gaveUp++;
        open.remove(step);
        if (now - step.submitted < PATIENCE) {
            throw new AssertionError("gave up too early");
        }
        if (sent && step.kind == Kind.CHANGE) {
            for (int i = 0; i < step.count; i++) {
                Set<Long> either = new HashSet<>(possible.get(step.first + i));
                either.add(step.values[i]);
                possible.set(step.first + i, either);
            }
        }
    }

    @Override
    public void wakeAt(long nanos) {
        wakeAt = nanos;
    }

    @Override
    public void tell(FollowEvent event) {}
}
