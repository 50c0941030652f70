package io.vmft.blk.volume;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The connections that may change one volume, and who takes whose place: {@code docs/decisions/connections.md}. It decides and remembers;
 * waiting is left to {@link Entrance}. Thread-safe; no call blocks.
 *
 * <p>Displacing somebody takes a <em>ticket</em>, numbered from 1. A ticket is settled when nothing is under way any more of those who were
 * displaced under it or before. A newcomer may be admitted when the ticket that was the newest at its arrival is settled,
 * whoever was displaced: the one whose admission failed for lack of time has left displaced ones behind.
 */
final class Roster<M extends Roster.Member> {
    /** Sessions remembered; many more than there can be connections. */
    static final int SESSIONS = 1000;

    /** A connection. */
    interface Member {
        /** The generation in its export's name; {@link io.vmft.blk.volume.Admission#BARE}: none. */
        long generation();

        ExportName.@Nullable Session session();

        /** Whether its peer is known to have gone. */
        boolean isGone();

        /** Marks it: from now on no change of it begins to take effect. Must not block. */
        void displace(String why);
    }

    /**
     * What became of a newcomer: it is a member now, to be admitted when {@code ticket} is settled.
     *
     * @param displaced marked already; to be told
     */
    record Arrival<M>(List<M> displaced, long ticket) {}

    /** A newcomer is not let in: the message says why. */
    static final class RefusedException extends Exception {
        private static final long serialVersionUID = 1L;

        RefusedException(String message) {
            super(message);
        }
    }

    private final boolean exclusive;
    private final Set<M> members = new LinkedHashSet<>();
    /** The newest incarnation seen of every session, the one that arrived last at the end. */
    private final Map<String, Long> incarnations = new LinkedHashMap<>();

    private long newestTicket;
    private long settledTicket;

    /**
     * Without members.
     *
     * @param exclusive whether one client at a time may use the volume
     */
    Roster(boolean exclusive) {
        this.exclusive = exclusive;
    }

    boolean exclusive() {
        return exclusive;
    }

    /** Takes a newcomer in and displaces those whose place it takes. */
    synchronized Arrival<M> arrive(M newcomer) throws RefusedException {
        if (newcomer.isGone()) {
            throw new RefusedException("its client has gone");
        }
        ExportName.Session session = newcomer.session();
        if (session != null) {
            remember(session);
        }
        String why = session == null ? "a newer connection took its place" : "session " + session + " took its place";
        List<M> displaced = new ArrayList<>();
        for (Iterator<M> all = members.iterator(); all.hasNext(); ) {
            M member = all.next();
            boolean gone = member.isGone();
            if (gone || replaces(newcomer, member)) {
                member.displace(gone ? "its client has gone" : why);
                displaced.add(member);
                all.remove();
            }
        }
        if (!displaced.isEmpty()) {
            newestTicket++;
        }
        members.add(newcomer);
        return new Arrival<>(displaced, newestTicket);
    }

    private boolean replaces(M newcomer, M member) {
        ExportName.Session next = newcomer.session();
        ExportName.Session before = member.session();
        if (next != null && before != null && next.id().equals(before.id())) {
            return before.incarnation() < next.incarnation();
        }
        if (newcomer.generation() != member.generation()) {
            return false; // whether both are served is the fence's matter
        }
        return exclusive || (newcomer.generation() != Admission.BARE && next == null && before == null);
    }

    private void remember(ExportName.Session session) throws RefusedException {
        Long seen = incarnations.get(session.id());
        if (seen != null && session.incarnation() < seen) {
            throw new RefusedException("session " + session.id() + " has gone on as " + session.id() + "." + seen
                    + "; connect with that or a higher number");
        }
        incarnations.remove(session.id());
        incarnations.put(session.id(), session.incarnation());
        if (incarnations.size() > SESSIONS) {
            forgetOldest();
        }
    }

    private void forgetOldest() {
        Set<String> present = new HashSet<>();
        for (M member : members) {
            ExportName.Session session = member.session();
            if (session != null) {
                present.add(session.id());
            }
        }
        for (Iterator<String> oldest = incarnations.keySet().iterator(); oldest.hasNext(); ) {
            if (!present.contains(oldest.next())) {
                oldest.remove();
                return;
            }
        }
    }

    /** Removes a member of which nothing is under way, or that was never admitted. */
    synchronized void leave(M member) {
        members.remove(member);
    }

    /** The newest ticket there is: whoever was displaced under it is marked. */
    synchronized long newestTicket() {
        return newestTicket;
    }

    synchronized boolean isSettled(long ticket) {
        return ticket <= settledTicket;
    }

    /** Nothing that began before {@code ticket} was taken is under way any more. */
    synchronized void settled(long ticket) {
        settledTicket = Math.max(settledTicket, ticket);
    }

    synchronized int size() {
        return members.size();
    }
}
