package io.vmft.blk.crash;

import io.vmft.blk.crash.Event.Change;
import io.vmft.blk.crash.Event.Commit;
import io.vmft.blk.crash.Event.Control;
import io.vmft.blk.crash.Event.Control.Call;
import io.vmft.blk.crash.Event.Flush;
import io.vmft.blk.crash.Event.Seal;
import io.vmft.blk.crash.Event.Size;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * Says what a server may hold after a power cut, from what one party was answered before.
 *
 * <ul>
 *   <li>The arbiter's record is that of the last change answered, or a later one that was asked for.
 *   <li>PROTECTED: the volumes are exactly what they were when the committed epoch was sealed, and that epoch is the last whose commit was
 *       answered, or a later one whose commit was asked for.
 *   <li>Otherwise each sector is what it was after the last change that must be durable, or after any later one ({@link Sectors}). A change must be durable
 *       when it was sent with FUA, or a flush followed it, and was answered; when it was journaled, or made before an epoch that
 *       was committed, and the VM went solo or was closed or opened since; a takeover takes the epoch it chose for such a change
 *       and makes what followed it undone.
 * </ul>
 */
final class Judge {
    private final Party party;
    private final List<Event> events;

    private final IdentityHashMap<Change, byte[]> bytes = new IdentityHashMap<>();

    Judge(Party party, List<Event> events) {
        this.party = party;
        this.events = List.copyOf(events);
    }

    private byte[] bytesOf(Change change) {
        return bytes.computeIfAbsent(change, Change::bytes);
    }

    private void apply(Change change, byte[] content) {
        byte[] data = bytesOf(change);
        System.arraycopy(data, 0, content, change.offset(), data.length);
    }

    Party party() {
        return party;
    }

    /** A state of the party's VM that was reached: by which event. */
    private record Standing(int event, Event cause, ArbiterRecord record) {}

    private List<Standing> standings() {
        List<Standing> found = new ArrayList<>();
        found.add(new Standing(
                -1,
                new Size("", 0, 0, 0),
                ArbiterRecord.newBuilder()
                        .setVm(party.vm())
                        .setMode(Mode.CLOSED)
                        .build()));
        for (int i = 0; i < events.size(); i++) {
            ArbiterRecord last = found.getLast().record();
            switch (events.get(i)) {
                case Control control -> found.add(new Standing(i, control, control.record()));
                case Commit commit
                when last.getMode() == Mode.SYNCING ->
                    found.add(new Standing(
                            i,
                            commit,
                            last.toBuilder()
                                    .setMode(Mode.PROTECTED)
                                    .setCommittedEpoch(commit.epoch())
                                    .build()));
                default -> {}
            }
        }
        return found;
    }

    /** What the record found means, at one point of the trace. */
    final class Verdict {
        private final long position;
        private final ArbiterRecord record;
        private final List<Standing> standings;
        private final int standing;

        private Verdict(long position, ArbiterRecord record) {
            this.position = position;
            this.record = record;
            this.standings = standings();
            this.standing = find();
        }

        private int find() {
            int found = -1;
            int acknowledged = 0;
            for (int i = 0; i < standings.size(); i++) {
                Standing some = standings.get(i);
                if (some.cause().end() <= position) {
                    acknowledged = i;
                }
                if (some.cause().begin() < position || i == 0) {
                    boolean same = some.record().getGeneration() == record.getGeneration()
                            && some.record().getMode() == record.getMode();
                    found = same ? i : found;
                }
            }
            int last = acknowledged;
            check(found >= 0, () -> "the arbiter's record is one that nobody asked for: " + shown(record));
            check(
                    found >= last,
                    () -> "the arbiter's record " + shown(record) + " is older than the last one acknowledged, "
                            + shown(standings.get(last).record()));
            checkRecord(standings.get(found).record());
            return found;
        }

        private void checkRecord(ArbiterRecord wanted) {
            check(
                    wanted.getPrimary().equals(record.getPrimary())
                            && wanted.getBackup().equals(record.getBackup())
                            && wanted.getPrimaryGeneration() == record.getPrimaryGeneration()
                            && wanted.getStandbyGeneration() == record.getStandbyGeneration()
                            && wanted.getVolumesList().equals(record.getVolumesList()),
                    () -> "the arbiter's record is " + shown(record) + " instead of " + shown(wanted));
            if (record.getMode() != Mode.PROTECTED) {
                check(
                        wanted.getCommittedEpoch() == record.getCommittedEpoch(),
                        () -> "committed epoch " + record.getCommittedEpoch() + " instead of "
                                + wanted.getCommittedEpoch());
                return;
            }
            boolean asked = false;
            long least = 0;
            for (Event event : events) {
                if (event instanceof Commit commit) {
                    asked |= commit.epoch() == record.getCommittedEpoch() && commit.begin() < position;
                    least = commit.end() <= position ? Math.max(least, commit.epoch()) : least;
                }
            }
            check(asked, () -> "epoch " + record.getCommittedEpoch() + " stands, whose commit was not asked for");
            long acknowledged = least;
            check(
                    record.getCommittedEpoch() >= acknowledged,
                    () -> "epoch " + record.getCommittedEpoch() + " stands, " + acknowledged + " was acknowledged");
        }

        /** The events that happened, as far as the record found tells, and before {@link #position}. */
        private List<Event> happened() {
            int next = standing + 1 < standings.size()
                    ? standings.get(standing + 1).event()
                    : events.size();
            List<Event> happened = new ArrayList<>();
            for (int i = 0; i < next; i++) {
                Event event = events.get(i);
                if (event.begin() < position || i <= standings.get(standing).event()) {
                    happened.add(event);
                }
            }
            return happened;
        }

        /** Throws if the volume may not hold this. */
        void volume(String volume, byte[] found) {
            checkSize(volume, found.length);
            if (record.getMode() == Mode.PROTECTED) {
                byte[] wanted = atSeal(volume, record.getCommittedEpoch(), found.length);
                int wrong = Arrays.mismatch(wanted, found);
                check(
                        wrong < 0,
                        () -> "%s at byte %d is not what it was when epoch %d was sealed: %s instead of %s"
                                .formatted(
                                        volume,
                                        wrong,
                                        record.getCommittedEpoch(),
                                        Event.wordAt(found, wrong),
                                        Event.wordAt(wanted, wrong)));
                return;
            }
            List<Event> happened = happened();
            boolean[] durable = durable(volume, happened);
            boolean[] undone = undone(happened);
            Sectors sectors = new Sectors(found);
            for (int i = 0; i < happened.size(); i++) {
                if (happened.get(i) instanceof Change change && change.volume().equals(volume) && !undone[i]) {
                    sectors.take(change, bytesOf(change), durable[i]);
                }
            }
            Optional<String> complaint = sectors.complaint();
            check(complaint.isEmpty(), () -> volume + " at " + complaint.orElseThrow());
        }

        private void checkSize(String volume, long found) {
            long least = 0;
            boolean asked = false;
            for (Event event : events) {
                if (event instanceof Size size && size.volume().equals(volume)) {
                    least = size.end() <= position ? size.bytes() : least;
                    asked |= size.bytes() == found && size.begin() < position;
                }
            }
            long acknowledged = least;
            check(asked && found >= acknowledged, () -> volume + " has " + found + " bytes, not " + acknowledged);
        }

        private byte[] atSeal(String volume, long epoch, int length) {
            byte[] content = new byte[length];
            byte[] kept = content;
            for (Event event : live(events, Integer.MAX_VALUE)) {
                if (event instanceof Change change && change.volume().equals(volume)) {
                    apply(change, content);
                } else if (event instanceof Seal seal && seal.epoch() == epoch) {
                    kept = content.clone();
                    return kept;
                }
            }
            throw new AssertionError(party.name() + ": epoch " + epoch + " was never sealed");
        }

        /** For each event that happened, whether it is a change of the volume that must be durable. */
        private boolean[] durable(String volume, List<Event> happened) {
            boolean[] durable = new boolean[happened.size()];
            boolean[] journaled = journaled(happened);
            boolean before = false;
            boolean journaledBefore = false;
            long wholeFrom = -1;
            for (int i = happened.size() - 1; i >= 0; i--) {
                switch (happened.get(i)) {
                    case Change change
                    when change.volume().equals(volume) ->
                        durable[i] = before
                                || (journaledBefore && journaled[i])
                                || (change.fua() && change.end() <= position);
                    case Flush flush when flush.volume().equals(volume) -> before |= flush.end() <= position;
                    case Control control -> {
                        journaledBefore = true;
                        if (control.call() == Call.TAKE_OVER) {
                            wholeFrom = control.record().getCommittedEpoch();
                        }
                    }
                    // A later commit of the same protection stands for more, and was seen before.
                    case Commit commit -> wholeFrom = journaledBefore ? Math.max(wholeFrom, commit.epoch()) : wholeFrom;
                    case Seal seal -> before |= seal.epoch() == wholeFrom;
                    default -> {}
                }
            }
            return durable;
        }

        /** Which changes were surely journaled: those after the first seal of a protection, until its end. */
        private boolean[] journaled(List<Event> happened) {
            boolean[] journaled = new boolean[happened.size()];
            boolean now = false;
            for (int i = 0; i < happened.size(); i++) {
                switch (happened.get(i)) {
                    case Seal _ -> now = true;
                    case Control _ -> now = false;
                    default -> journaled[i] = now;
                }
            }
            return journaled;
        }
    }

    /** Which of the events a takeover among them undid. */
    private static boolean[] undone(List<Event> events) {
        boolean[] undone = new boolean[events.size()];
        for (int i = 0; i < events.size(); i++) {
            if (events.get(i) instanceof Control control && control.call() == Call.TAKE_OVER) {
                long epoch = control.record().getCommittedEpoch();
                for (int j = i - 1; !(events.get(j) instanceof Seal seal && seal.epoch() == epoch); j--) {
                    undone[j] = events.get(j) instanceof Change;
                }
            }
        }
        return undone;
    }

    private static List<Event> live(List<Event> events, int limit) {
        boolean[] undone = undone(events);
        List<Event> live = new ArrayList<>();
        for (int i = 0; i < Math.min(limit, events.size()); i++) {
            if (!undone[i]) {
                live.add(events.get(i));
            }
        }
        return live;
    }

    /**
     * Begins judging a state.
     *
     * @param position how long the trace was when the power went
     * @param record the arbiter's, as it was found
     * @throws AssertionError if it may not be that one
     */
    Verdict judge(long position, ArbiterRecord record) {
        return new Verdict(position, record);
    }

    private void check(boolean holds, Supplier<String> complaint) {
        if (!holds) {
            throw new AssertionError(party.name() + ": " + complaint.get());
        }
    }

    private static String shown(ArbiterRecord record) {
        return "%s generation %d epoch %d by '%s'"
                .formatted(record.getMode(), record.getGeneration(), record.getCommittedEpoch(), record.getPrimary());
    }
}
