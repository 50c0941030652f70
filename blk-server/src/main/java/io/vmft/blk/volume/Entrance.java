package io.vmft.blk.volume;

import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import java.time.Duration;

/** Lets connections in to one volume, in order: {@code docs/decisions/connections.md}. Thread-safe. */
final class Entrance {
    private final Volume volume;
    private final Duration patience;
    private final Roster<VolumeView> roster;

    Entrance(Volume volume, Offer offer) {
        this.volume = volume;
        this.patience = offer.patience();
        this.roster = new Roster<>(offer.exclusive());
    }

    boolean exclusive() {
        return roster.exclusive();
    }

    /**
     * Ends those whose place {@code newcomer} takes; when it returns, nothing of theirs changes the volume any more.
     *
     * @throws ExportRefusedException if a newer one was there first, or what is under way takes too long; then the newcomer is not
     *     a member
     */
    void enter(VolumeView newcomer) throws ExportRefusedException {
        Roster.Arrival<VolumeView> arrival;
        try {
            arrival = roster.arrive(newcomer);
        } catch (Roster.RefusedException e) {
            throw new ExportRefusedException(Reason.POLICY, volume.name() + ": " + e.getMessage());
        }
        arrival.displaced().forEach(VolumeView::tellOwner);
        if (roster.isSettled(arrival.ticket())) {
            return;
        }
        // Whoever carries a ticket taken by now is marked, and finds the mark behind the gate.
        long ticket = roster.newestTicket();
        if (!volume.awaitChanges(patience)) {
            roster.leave(newcomer);
            throw new ExportRefusedException(
                    Reason.POLICY,
                    volume.name() + ": requests of an older connection are not done after " + patience.toMillis()
                            + " ms, its storage may be stuck; try again");
        }
        roster.settled(ticket);
    }

    void leave(VolumeView view) {
        roster.leave(view);
    }
}
