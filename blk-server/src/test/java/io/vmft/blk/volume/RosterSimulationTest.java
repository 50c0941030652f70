package io.vmft.blk.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The roster in a world of one thread where a seed decides what happens next: connections come, write, die and leave; changes take
 * long; the gate opens late or not in time. A rule written down a second time, without the roster, says whose change may never
 * take effect. Deliberate mistakes in how the roster is used must be found.
 */
class RosterSimulationTest {
    private static final int SCHEDULES = 4000;
    private static final int STEPS = 300;

    /** What an implementation could get wrong. */
    enum Mistake {
        NONE,
        /** A newcomer is let in without waiting. */
        NO_DRAIN,
        /** The displaced are marked only after the gate has opened. */
        LATE_MARK,
        /** Only who has displaced somebody waits. */
        ONLY_OWN_DISPLACED,
        /** Who was displaced after the gate had opened counts as drained too. */
        TICKET_TAKEN_LATE,
        /** A refused newcomer's victims are forgotten. */
        SETTLED_ON_REFUSAL
    }

    private enum Phase {
        WAITING,
        ADMITTED,
        ENDED
    }

    /** A connection of the model; holds at most one change that has begun. */
    private static final class Link implements Roster.Member {
        final int number;
        final long generation;
        final ExportName.@Nullable Session session;
        Phase phase = Phase.WAITING;
        long ticket;
        /** Taken when it queued for the gate. */
        long gateTicket;
        /** The gate has closed and opened for it. */
        boolean drained;

        boolean gone;
        boolean displaced;
        boolean begun;

        /** Links that must be over before this one is admitted, by the rule below. */
        final List<Link> mustBeOver = new ArrayList<>();

        Link(int number, long generation, ExportName.@Nullable Session session) {
            this.number = number;
            this.generation = generation;
            this.session = session;
        }

        @Override
        public long generation() {
            return generation;
        }

        @Override
        public ExportName.@Nullable Session session() {
            return session;
        }

        @Override
        public boolean isGone() {
            return gone;
        }

        @Override
        public void displace(String why) {
            displaced = true;
        }

        @Override
        public String toString() {
            return "link " + number + " " + generation + " " + session + " " + phase;
        }
    }

    private static final class World {
        final Random random;
        final boolean exclusive;
        final Mistake mistake;
        final Roster<Link> roster;
        final List<Link> links = new ArrayList<>();
        final Map<String, Long> newest = new HashMap<>();
        /** Of mistake LATE_MARK. */
        final List<Link> unmarked = new ArrayList<>();

        int admitted;
        int effects;
        int displacements;
        int refusals;

        World(long seed, Mistake mistake) {
            this.random = new Random(seed);
            this.exclusive = random.nextInt(4) == 0;
            this.mistake = mistake;
            this.roster = new Roster<>(exclusive);
        }

        /** The table of docs/decisions/connections.md, once more. */
        boolean takesPlace(Link newcomer, Link other) {
            if (other.gone) {
                return true;
            }
            ExportName.Session mine = newcomer.session;
            ExportName.Session theirs = other.session;
            if (mine != null && theirs != null && mine.id().equals(theirs.id())) {
                return mine.incarnation() > theirs.incarnation();
            }
            if (newcomer.generation != other.generation) {
                return false;
            }
            return exclusive || (mine == null && theirs == null && newcomer.generation != 0);
        }

        void step() {
            switch (random.nextInt(12)) {
                case 0, 1 -> arrive();
                case 2, 3, 4 -> any(Phase.ADMITTED, this::begin);
                case 5, 6 -> any(Phase.ADMITTED, this::takeEffect);
                case 7, 8 -> any(Phase.WAITING, this::passGate);
                case 9 -> any(Phase.WAITING, this::settle);
                case 10 -> {
                    if (random.nextInt(4) == 0) {
                        any(Phase.WAITING, this::runOutOfTime);
                    } else {
                        any(Phase.ADMITTED, link -> link.gone |= random.nextBoolean());
                    }
                }
                default -> any(Phase.ADMITTED, this::leave);
            }
        }

        private void any(Phase phase, java.util.function.Consumer<Link> action) {
            List<Link> fitting =
                    links.stream().filter(link -> link.phase == phase).toList();
            if (!fitting.isEmpty()) {
                action.accept(fitting.get(random.nextInt(fitting.size())));
            }
        }

        private void arrive() {
            ExportName.Session session = random.nextBoolean()
                    ? null
                    : new ExportName.Session(random.nextBoolean() ? "a" : "b", random.nextInt(6));
            Link link = new Link(links.size(), random.nextInt(3) == 0 ? 7 : 0, session);
            boolean tooOld = session != null && session.incarnation() < newest.getOrDefault(session.id(), 0L);
            for (Link other : links) {
                if (other.phase != Phase.ENDED && takesPlace(link, other)) {
                    link.mustBeOver.add(other);
                }
            }
            try {
                Roster.Arrival<Link> arrival = roster.arrive(link);
                assertThat(tooOld).as("a lower incarnation was let in").isFalse();
                List<Link> live = link.mustBeOver.stream()
                        .filter(other -> other.phase != Phase.ENDED)
                        .toList();
                assertThat(live).as("displaced by %s", link).containsAll(arrival.displaced());
                displacements += arrival.displaced().size();
                if (mistake == Mistake.LATE_MARK) {
                    arrival.displaced().forEach(other -> other.displaced = false);
                    unmarked.addAll(arrival.displaced());
                }
                link.ticket = arrival.ticket();
                links.add(link);
                if (session != null) {
                    newest.put(session.id(), session.incarnation());
                }
                boolean atOnce = mistake == Mistake.NO_DRAIN
                        || (mistake == Mistake.ONLY_OWN_DISPLACED
                                && arrival.displaced().isEmpty());
                if (atOnce || roster.isSettled(link.ticket)) {
                    admit(link);
                } else {
                    link.gateTicket = roster.newestTicket();
                }
            } catch (Roster.RefusedException e) {
                assertThat(tooOld).as(e.getMessage()).isTrue();
                refusals++;
            }
        }

        /** A change begins: it holds the gate, shared, from its look at the mark until it has taken effect. */
        private void begin(Link link) {
            if (!link.begun && !link.displaced) {
                link.begun = true;
            }
        }

        private void takeEffect(Link link) {
            if (!link.begun) {
                return;
            }
            link.begun = false;
            effects++;
            for (Link other : links) {
                if (other.phase == Phase.ADMITTED && other.mustBeOver.contains(link)) {
                    throw new AssertionError("a change of " + link + " took effect beside " + other);
                }
            }
        }

        /** The gate closes and opens, if nothing is under way. */
        private void passGate(Link link) {
            if (links.stream().noneMatch(other -> other.begun)) {
                link.drained = true;
            }
        }

        private void settle(Link link) {
            if (link.drained) {
                unmarked.forEach(other -> other.displaced = true);
                unmarked.clear();
                roster.settled(mistake == Mistake.TICKET_TAKEN_LATE ? roster.newestTicket() : link.gateTicket);
                admit(link);
            }
        }

        private void admit(Link link) {
            if (link.displaced) {
                end(link);
                return;
            }
            link.phase = Phase.ADMITTED;
            admitted++;
        }

        private void runOutOfTime(Link link) {
            if (mistake == Mistake.SETTLED_ON_REFUSAL) {
                roster.settled(link.gateTicket);
            }
            end(link);
        }

        private void leave(Link link) {
            if (!link.begun) {
                end(link);
            }
        }

        private void end(Link link) {
            link.phase = Phase.ENDED;
            roster.leave(link);
        }

        World run() {
            for (int i = 0; i < STEPS; i++) {
                step();
            }
            return this;
        }
    }

    @Test
    void noDisplacedConnectionsChangeTakesEffectBesideItsSuccessor() {
        int admitted = 0;
        int displacements = 0;
        int refusals = 0;
        int effects = 0;
        for (long seed = 0; seed < SCHEDULES; seed++) {
            World world = new World(seed, Mistake.NONE);
            try {
                world.run();
            } catch (AssertionError e) {
                throw new AssertionError("seed " + seed, e);
            }
            admitted += world.admitted;
            displacements += world.displacements;
            refusals += world.refusals;
            effects += world.effects;
        }
        // The schedules do what they are there for.
        assertThat(admitted).isGreaterThan(10 * SCHEDULES);
        assertThat(displacements).isGreaterThan(5 * SCHEDULES);
        assertThat(refusals).isGreaterThan(SCHEDULES);
        assertThat(effects).isGreaterThan(10 * SCHEDULES);
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "NONE")
    void everyDeliberateMistakeIsFound(Mistake mistake) {
        assertThatThrownBy(() -> {
                    for (long seed = 0; seed < SCHEDULES; seed++) {
                        new World(seed, mistake).run();
                    }
                })
                .isInstanceOf(AssertionError.class)
                .hasMessageContaining("took effect beside");
    }

    @Test
    void sessionsAreForgottenOldestFirstButNeverOneThatIsConnected() throws Exception {
        Roster<Link> roster = new Roster<>(false);
        roster.arrive(new Link(0, 0, new ExportName.Session("connected", 5)));
        Link early = new Link(1, 0, new ExportName.Session("early", 5));
        roster.arrive(early);
        roster.leave(early);
        for (int i = 0; i < Roster.SESSIONS; i++) {
            Link link = new Link(2 + i, 0, new ExportName.Session("s" + i, 5));
            roster.arrive(link);
            roster.leave(link);
        }
        assertThatThrownBy(() -> roster.arrive(new Link(-1, 0, new ExportName.Session("connected", 4))))
                .isInstanceOf(Roster.RefusedException.class)
                .hasMessage("session connected has gone on as connected.5; connect with that or a higher number");
        assertThatThrownBy(() -> roster.arrive(new Link(-1, 0, new ExportName.Session("s" + (Roster.SESSIONS - 1), 4))))
                .isInstanceOf(Roster.RefusedException.class);
        roster.arrive(new Link(-1, 0, new ExportName.Session("early", 4)));
    }

    @Test
    void whoeverHasGoneBeforeItIsAdmittedTakesNobodysPlace() throws Exception {
        Roster<Link> roster = new Roster<>(false);
        Link live = new Link(0, 7, null);
        roster.arrive(live);
        Link late = new Link(1, 7, null);
        late.gone = true;
        assertThatThrownBy(() -> roster.arrive(late)).isInstanceOf(Roster.RefusedException.class);
        assertThat(live.displaced).isFalse();
    }
}
