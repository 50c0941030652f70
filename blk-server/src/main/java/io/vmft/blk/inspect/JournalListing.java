package io.vmft.blk.inspect;

import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.StoredVolume;
import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.RecordHeader;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentSink;
import io.vmft.blk.journal.SegmentView;
import io.vmft.proto.blk.v1.JournalEpoch;
import io.vmft.proto.blk.v1.JournalEpoch.State;
import io.vmft.proto.blk.v1.JournalReply;
import io.vmft.proto.blk.v1.JournalSegment;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongConsumer;

/** What the journal holds, by volume and epoch, and by segment. */
final class JournalListing implements SegmentSink {
    private final Map<Integer, StoredVolume> volumes = new HashMap<>();
    private final Map<Integer, RecoveredVms.Stored> vms = new HashMap<>();
    private final StoredState stored;
    private final Map<Key, JournalEpoch.Builder> epochs =
            new TreeMap<>(Comparator.comparing(Key::volume).thenComparingLong(Key::firstSequence));
    private final Map<Integer, Key> current = new HashMap<>();
    /** The newest seal of each VM. */
    private final Map<String, Long> sealed = new HashMap<>();

    private record Key(String volume, long epoch, State state, long firstSequence) {}

    private JournalListing(StoredState stored) {
        this.stored = stored;
        stored.storedVolumes().forEach(volume -> volumes.put(volume.lane(), volume));
        stored.vms().stored().forEach(vm -> vms.put(vm.lane(), vm));
    }

    /**
     * Reads segments and says what is in them: epochs by volume, then segments.
     *
     * @param active the id of the segment that is being filled; 0: none is
     */
    static List<JournalReply> of(StoredState stored, List<SegmentView> segments, long active, LongConsumer beforeRead) {
        JournalListing listing = new JournalListing(stored);
        List<JournalReply> found = new ArrayList<>();
        for (SegmentView segment : segments) {
            found.add(JournalReply.newBuilder()
                    .setSegment(listing.read(segment, active, beforeRead))
                    .build());
        }
        List<JournalReply> all = new ArrayList<>();
        listing.epochs
                .values()
                .forEach(epoch -> all.add(JournalReply.newBuilder()
                        .setEpoch(listing.settled(epoch))
                        .build()));
        all.addAll(found);
        return all;
    }

    private JournalSegment read(SegmentView segment, long active, LongConsumer beforeRead) {
        JournalSegment.Builder told =
                of(segment.entry(), segment.path()).setActive(segment.entry().id() == active);
        try {
            SegmentView.Extent extent = segment.scan(stored.watermarks().committed(), this, beforeRead);
            return told.setUsedBytes(extent.usedBytes())
                    .setLastSequence(extent.lastSequence())
                    .build();
        } catch (IOException e) {
            return told.setUnreadable(true).build();
        }
    }

    /** What the catalogue says of a segment. */
    static JournalSegment.Builder of(SegmentEntry entry, Path file) {
        return JournalSegment.newBuilder()
                .setFile(file.toString())
                .setId(entry.id())
                .setSizeBytes(entry.sizeBytes())
                .setFirstSequence(entry.firstSequence())
                .setLastSequence(Math.max(entry.lastSequence(), entry.firstSequence() - 1));
    }

    @Override
    public void record(RecordHeader header, JournalRecord record) {
        StoredVolume volume = volumes.get(header.lane());
        RecoveredVms.Stored vm = vms.get(header.lane());
        if (header.kind() == RecordKind.SEAL && vm != null) {
            sealed.put(vm.name(), header.sequence());
        } else if (volume != null) {
            JournalEpoch.Builder epoch = epoch(volume, header);
            epoch.setLastSequence(header.sequence())
                    .setRecords(epoch.getRecords() + 1)
                    .setBytes(epoch.getBytes() + header.journalBytes());
        }
    }

    private JournalEpoch.Builder epoch(StoredVolume volume, RecordHeader header) {
        State state = state(volume.marks(), header.sequence());
        Key key = current.get(volume.lane());
        if (key == null || key.epoch() != header.epoch() || key.state() != state) {
            key = new Key(volume.name(), header.epoch(), state, header.sequence());
            current.put(volume.lane(), key);
        }
        return epochs.computeIfAbsent(key, made -> {
            RecoveredVms.Stored holder = stored.holder(made.volume());
            return JournalEpoch.newBuilder()
                    .setVolume(made.volume())
                    .setVm(holder == null ? "" : holder.name())
                    .setEpoch(made.epoch())
                    .setState(made.state())
                    .setFirstSequence(made.firstSequence());
        });
    }

    /** OPEN for what may turn out to be sealed. */
    private static State state(LaneMarks marks, long sequence) {
        if (marks.isDropped(sequence)) {
            return State.DROPPED;
        } else if (sequence <= marks.applied()) {
            return State.APPLIED;
        }
        return sequence <= marks.committed() ? State.COMMITTED : State.OPEN;
    }

    private JournalEpoch settled(JournalEpoch.Builder epoch) {
        boolean isSealed =
                epoch.getState() == State.OPEN && epoch.getLastSequence() <= sealed.getOrDefault(epoch.getVm(), 0L);
        return (isSealed ? epoch.setState(State.SEALED) : epoch).build();
    }

    @Override
    public void damage(JournalScan.Damage damage) {
        // For `check` to tell.
    }
}
