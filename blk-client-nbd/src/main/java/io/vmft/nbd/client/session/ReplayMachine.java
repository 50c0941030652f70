package io.vmft.nbd.client.session;

import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.random.RandomGenerator;

/**
 * Decides when a client connects where, and what it sends again. A pure state machine: events in through the methods, actions
 * out through {@link Driver}, time as a parameter. Not thread-safe.
 *
 * <pre>
 *                 failed: next endpoint, after a round back off
 *                 ┌──────┐
 *   start ──▶ CONNECTING ◀──── wake ──── RESTING
 *                 │   ▲                     ▲
 *       connected │   │ lost, silent        │ every endpoint failed
 *                 ▼   │                     │
 *               LINKED ─────────────────────┘         close, or refused for good: ENDED
 * </pre>
 *
 * <p>What it guarantees, if a link that was left carries out nothing more once the next is established (a server that knows
 * sessions does), and if requests may be carried out twice in a row (all of NBD's may):
 *
 * <ul>
 *   <li>An operation is sent only when every earlier one that it conflicts with is answered or given up. So whatever is sent again
 *       cannot overtake, nor undo, a later one: the later one has not been sent.
 *   <li>An operation is answered at most once, by the link that it was last sent on.
 *   <li>Generations never go back: no link of an older one is used after a newer one was seen.
 *   <li>An operation fails only after {@code patience} without any link that answers, counted from its submission or, if that was
 *       earlier, from the moment the server fell silent.
 * </ul>
 *
 * @param <O> what is carried
 */
final class ReplayMachine<O extends Operation> {
    private static final long FIRST_BACK_OFF_NANOS = 20_000_000;
    private static final long LONGEST_BACK_OFF_NANOS = 1_000_000_000;
    private static final long NEVER = Operation.NEVER;

    /** What the machine wants done. Called from inside the machine's methods; must not call back into it. */
    interface Driver<O> {
        /** Try an endpoint; to be answered with {@link #connected} or {@link #failed} and the same link. */
        void connect(int endpoint, long link);

        /** Close a link, or give up connecting it. Whatever of it still comes is ignored. */
        void disconnect(long link);

        void send(long link, O operation);

        /** The operation will not be sent any more; whether it was carried out is unknown if {@code sent}. */
        void giveUp(O operation, boolean sent, IOException reason);

        /** Call {@link #wake} at that time. Only the last call counts. */
        void wakeAt(long nanos);

        void tell(FollowEvent event);
    }

    /**
     * What is asked of it.
     *
     * @param endpoints how many there are, at least 1
     * @param patienceNanos how long an operation waits for a link that answers
     * @param silenceNanos how long a link with a generation may leave everything unanswered before it counts as lost
     */
    record Limits(int endpoints, long patienceNanos, long silenceNanos) {}

    private enum State {
        CONNECTING,
        LINKED,
        RESTING,
        ENDED
    }

    private final Driver<O> driver;
    private final Limits limits;
    private final RandomGenerator jitter;
    /** Unanswered, in the order of submission. */
    private final LinkedHashSet<O> open = new LinkedHashSet<>();

    private State state = State.ENDED;
    private IOException reason = new IOException("not connected yet");
    private boolean everLinked;
    /** Number of the link that is used or being connected; rises. */
    private long link;

    private int endpoint;
    private int failedInRound;
    private int refusedInRound;
    private long backOffNanos = FIRST_BACK_OFF_NANOS;
    private long restUntilNanos;
    /** Since when nothing was answered and no link was idle in peace. */
    private long silentSinceNanos;
    /** When the link last answered, or was given the first of what is unanswered. */
    private long progressNanos;

    private int sentOnLink;
    private long generation;
    private boolean proven;
    /** Whether an open operation may have been refused. */
    private boolean refused;

    private long wakeNanos = NEVER;

    ReplayMachine(Driver<O> driver, Limits limits, RandomGenerator jitter) {
        this.driver = driver;
        this.limits = limits;
        this.jitter = jitter;
    }

    /**
     * Begins to connect.
     *
     * @param seenGeneration the newest that any endpoint is known to serve; 0: none is known
     */
    void start(long seenGeneration, long now) {
        generation = seenGeneration;
        silentSinceNanos = now;
        connect();
    }

    /** The newest generation seen; 0: none. */
    long generation() {
        return generation;
    }

    // --- operations ---

    void submit(O operation, long now) {
        if (state == State.ENDED) {
            driver.giveUp(operation, false, reason);
            return;
        }
        operation.submittedNanos = now;
        for (O earlier : open) {
            if (earlier.conflictsWith(operation)) {
                earlier.dependents.add(operation);
                operation.blockers++;
            }
        }
        open.add(operation);
        if (state == State.LINKED && operation.blockers == 0) {
            send(operation, now);
        }
        arm();
    }

    /**
     * A link answered.
     *
     * @return whether that counts; if not, the answer came too late and means nothing
     */
    boolean answered(O operation, long onLink, long now) {
        if (!isPending(operation, onLink)) {
            return false;
        }
        proven = true;
        backOffNanos = FIRST_BACK_OFF_NANOS;
        sentOnLink--;
        progressNanos = now;
        silentSinceNanos = now;
        remove(operation, now);
        arm();
        return true;
    }

    /** Whether an answer to it on this link would count. */
    boolean isPending(O operation, long onLink) {
        return state == State.LINKED && onLink == link && operation.sentOn == onLink && open.contains(operation);
    }

    private void send(O operation, long now) {
        if (sentOnLink++ == 0) {
            progressNanos = now;
        }
        operation.sentOn = link;
        driver.send(link, operation);
    }

    @SuppressWarnings("unchecked") // dependents of an O are Os: submit put them there
    private void remove(O operation, long now) {
        open.remove(operation);
        for (Operation dependent : operation.dependents) {
            if (--dependent.blockers == 0 && state == State.LINKED && open.contains(dependent)) {
                send((O) dependent, now);
            }
        }
        operation.dependents.clear();
    }

    // --- links ---

    /**
     * A link is established.
     *
     * @param linkGeneration of the export it leads to; 0: the bare name
     */
    void connected(long established, int atEndpoint, long linkGeneration, long now) {
        if (state != State.CONNECTING || established != link) {
            driver.disconnect(established);
            return;
        }
        if (linkGeneration < generation || (everLinked && generation == 0 && linkGeneration > 0)) {
            driver.disconnect(established);
            failed(
                    established,
                    new IOException(
                            generation == 0
                                    ? "a virtual machine has taken the volume, as generation " + linkGeneration
                                    : "the server is behind: it serves generation " + linkGeneration + ", seen was "
                                            + generation),
                    false,
                    now);
            return;
        }
        long before = generation;
        generation = linkGeneration;
        state = State.LINKED;
        failedInRound = 0;
        refusedInRound = 0;
        sentOnLink = 0;
        proven = false;
        progressNanos = now;
        driver.tell(new FollowEvent.Connected(
                atEndpoint, generation, everLinked && before != generation, now - silentSinceNanos));
        everLinked = true;
        for (O operation : open) {
            if (operation.blockers == 0) {
                send(operation, now);
            }
        }
        if (open.isEmpty()) {
            silentSinceNanos = now;
        }
        arm();
    }

    /**
     * Connecting did not work.
     *
     * @param refused the server is there and says that there is no such export, or that this client may not have it: asking
     *     again is of no use to a client that never had it
     */
    void failed(long attempted, IOException cause, boolean refused, long now) {
        if (state != State.CONNECTING || attempted != link) {
            return;
        }
        reason = cause;
        failedInRound++;
        refusedInRound += refused ? 1 : 0;
        endpoint = (endpoint + 1) % limits.endpoints();
        if (failedInRound < limits.endpoints()) {
            connect();
            return;
        }
        if (!everLinked && refusedInRound == failedInRound) {
            end(cause);
            return;
        }
        driver.tell(new FollowEvent.Waiting(String.valueOf(cause.getMessage())));
        rest(now);
    }

    /** A link broke, or is of no more use. */
    void lost(long broken, IOException cause, long now) {
        if (state != State.LINKED || broken != link) {
            return;
        }
        reason = cause;
        if (proven || open.isEmpty()) {
            silentSinceNanos = now;
        }
        driver.disconnect(broken);
        driver.tell(new FollowEvent.Lost(String.valueOf(cause.getMessage())));
        if (proven) {
            connect();
        } else {
            rest(now); // it never answered: perhaps what is sent is what breaks it
        }
    }

    /**
     * A link answered that it may not do this: it leads to a backup's export, or to one whose generation has just passed. Someone else
     * is the primary, or will be.
     */
    void unfit(O operation, long onLink, IOException cause, long now) {
        if (!isPending(operation, onLink)) {
            return;
        }
        operation.refusedNanos = Math.min(operation.refusedNanos, now);
        refused = true;
        reason = cause;
        silentSinceNanos = now;
        driver.disconnect(onLink);
        driver.tell(new FollowEvent.Lost(String.valueOf(cause.getMessage())));
        rest(now);
    }

    private void connect() {
        state = State.CONNECTING;
        driver.connect(endpoint, ++link);
        arm();
    }

    private void rest(long now) {
        state = State.RESTING;
        failedInRound = 0;
        refusedInRound = 0;
        restUntilNanos = now + backOffNanos / 2 + jitter.nextLong(backOffNanos / 2 + 1);
        backOffNanos = Math.min(2 * backOffNanos, LONGEST_BACK_OFF_NANOS);
        arm();
    }

    // --- time ---

    /** The time that was asked for has come, or an earlier one: then nothing happens. */
    void wake(long now) {
        wakeNanos = NEVER;
        if (state == State.RESTING && now >= restUntilNanos) {
            connect();
        }
        if (silenceEnds() <= now || patienceEnds() <= now) {
            // Before anything is given up: what comes after it must not meet it on this link.
            lost(link, new IOException("the server answers nothing"), now);
        }
        if (patienceEnds() <= now) {
            giveUpLate(now);
        }
        arm();
    }

    private void giveUpLate(long now) {
        List<O> late = new ArrayList<>();
        for (O operation : open) {
            if (patienceEnds(operation) <= now) {
                late.add(operation);
            }
        }
        IOException cause = new IOException(
                "no answer within " + limits.patienceNanos() / 1_000_000 + " ms: " + reason.getMessage(), reason);
        for (O operation : late) {
            driver.giveUp(operation, operation.sentOn != 0, cause);
            remove(operation, now);
        }
    }

    /** When the first operation has waited long enough; on a link that answers none has. */
    private long patienceEnds() {
        if (open.isEmpty()) {
            refused = false;
        }
        if (open.isEmpty() || (state == State.LINKED && proven)) {
            return NEVER;
        }
        if (!refused) {
            return patienceEnds(open.getFirst()); // the oldest
        }
        return open.stream().mapToLong(this::patienceEnds).min().orElse(NEVER);
    }

    private long patienceEnds(O operation) {
        long since = Math.max(operation.submittedNanos, silentSinceNanos);
        return Math.min(since, operation.refusedNanos) + limits.patienceNanos();
    }

    /** When the link counts as lost for saying nothing. Only servers with generations are known to end what was left. */
    private long silenceEnds() {
        return state == State.LINKED && sentOnLink > 0 && generation > 0
                ? progressNanos + limits.silenceNanos()
                : NEVER;
    }

    private void arm() {
        long next = Math.min(silenceEnds(), patienceEnds());
        if (state == State.RESTING) {
            next = Math.min(next, restUntilNanos);
        }
        // A timer that comes too early asks for the next one: cheaper than moving it with every answer.
        if (next < wakeNanos) {
            wakeNanos = next;
            driver.wakeAt(next);
        }
    }

    // --- the end ---

    /** Gives up everything that is open, and the link. */
    void close(IOException cause) {
        if (state != State.ENDED) {
            end(cause);
        }
    }

    private void end(IOException cause) {
        boolean connectingOrLinked = state != State.RESTING;
        state = State.ENDED;
        reason = cause;
        if (connectingOrLinked) {
            driver.disconnect(link);
        }
        List<O> rest = List.copyOf(open);
        open.clear();
        rest.forEach(operation -> driver.giveUp(operation, operation.sentOn != 0, cause));
        driver.tell(new FollowEvent.Ended(String.valueOf(cause.getMessage())));
    }
}
