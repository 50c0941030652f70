package io.vmft.blk.inspect;

import io.vmft.blk.control.RecoveredVms;
import io.vmft.blk.control.RecoveryPlan;
import io.vmft.blk.control.StoredVolume;
import io.vmft.blk.journal.JournalScan;
import io.vmft.blk.journal.JournalScan.Damage;
import io.vmft.blk.journal.JournalScan.Found;
import io.vmft.blk.journal.LaneMarks;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.journal.SegmentView;
import io.vmft.blk.journal.SequenceRange;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.LongConsumer;
import java.util.stream.Stream;

/** Whether the segments are what the index says, and every record in them what was appended. */
final class JournalCheck {
    private final StoredState stored;
    private final Findings findings;
    private final Set<Integer> lanes = new HashSet<>();

    JournalCheck(StoredState stored, Findings findings) {
        this.stored = stored;
        this.findings = findings;
        stored.volumes().values().forEach(volume -> lanes.add(volume.lane()));
        stored.vms().stored().forEach(vm -> lanes.add(vm.lane()));
    }

    /** The catalogue beside itself and beside the files: those segments that can be read. */
    List<SegmentEntry> catalogue(Path journal) throws IOException {
        List<SegmentEntry> readable = new ArrayList<>();
        Map<Path, Long> taken = new HashMap<>();
        for (SegmentEntry entry : stored.segments()) {
            Path file = entry.path(journal);
            Long other = taken.putIfAbsent(file, entry.id());
            if (other != null) {
                findings.inconsistent(file + ": segments " + other + " and " + entry.id()
                        + " are both said to be in it; restore the data directory from a copy");
            } else if (!Files.exists(file)) {
                findings.inconsistent(file + ": missing, segment " + entry.id() + " with records from "
                        + entry.firstSequence() + " on is in it" + needed(entry) + "; restore it");
            } else if (!Files.isReadable(file)) {
                findings.unknown(file + ": cannot be read; ask as its owner");
            } else if (Files.size(file) != entry.sizeBytes()) {
                findings.inconsistent(file + ": has " + Files.size(file) + " bytes instead of " + entry.sizeBytes()
                        + needed(entry) + "; restore it");
            } else {
                readable.add(entry);
            }
        }
        checkOrder(journal);
        checkStrays(journal, taken.keySet());
        return readable;
    }

    private String needed(SegmentEntry entry) {
        List<String> needing = stored.storedVolumes().stream()
                .filter(volume -> volume.marks().applied() < (entry.closed() ? entry.lastSequence() : Long.MAX_VALUE))
                .map(StoredVolume::name)
                .toList();
        return needing.isEmpty() ? "" : " (perhaps needed by " + String.join(", ", needing) + ")";
    }

    /** A segment goes when nothing in it is needed: what is not in any must have been settled. */
    private void checkOrder(Path journal) {
        long settled = 0;
        for (long mark : stored.watermarks().settled().values()) {
            settled = Math.max(settled, mark);
        }
        for (LaneMarks marks : stored.marks().values()) {
            for (SequenceRange range : marks.dropped()) {
                settled = Math.max(settled, range.last());
            }
        }
        long last = 0;
        boolean closed = true;
        Path before = journal;
        for (SegmentEntry entry : stored.segments()) {
            Path file = entry.path(journal);
            if (!closed) {
                findings.inconsistent(before + ": the index says that it is still being filled, but " + file
                        + " follows; restore the data directory from a copy");
            } else if (entry.firstSequence() <= last) {
                findings.inconsistent(file + ": begins with record " + entry.firstSequence() + ", but " + before
                        + " ends with " + last + "; restore the data directory from a copy");
            } else if (entry.firstSequence() > last + 1 && settled < entry.firstSequence() - 1) {
                findings.inconsistent("index: records " + (last + 1) + " to " + (entry.firstSequence() - 1)
                        + " are in no segment, although not all were settled; restore the data directory from a copy");
            }
            last = Math.max(last, entry.lastSequence());
            closed = entry.closed();
            before = file;
        }
        if (closed) {
            checkEnd(Math.max(last, settled));
        }
    }

    /** The end of a segment still being filled is for the scanner to find. */
    private void checkEnd(long last) {
        for (StoredVolume volume : stored.storedVolumes()) {
            if (volume.marks().committed() > last) {
                findings.inconsistent("index: volume " + volume.name() + " is committed through record "
                        + volume.marks().committed() + ", but the journal ends at " + last
                        + "; restore the data directory from a copy");
            }
        }
    }

    private void checkStrays(Path journal, Set<Path> catalogued) throws IOException {
        if (!Files.isDirectory(journal)) {
            return;
        }
        try (Stream<Path> files = Files.list(journal)) {
            for (Path file : new TreeSet<>(files.toList())) {
                if (!catalogued.contains(file)) {
                    findings.note(
                            file.toString().endsWith(SegmentEntry.SUFFIX)
                                    ? file + ": no segment is in it, a spare; the next server removes it"
                                    : file + ": is none of the journal's; remove it if you put it there");
                }
            }
        }
    }

    /** Reads segments: what was found, without what is settled. */
    JournalScan scan(List<SegmentView> segments, LongConsumer beforeRead) {
        JournalScan.Collector collector =
                new JournalScan.Collector(stored.watermarks().settled());
        long bytes = 0;
        int read = 0;
        for (SegmentView segment : segments) {
            try {
                bytes += segment.scan(stored.watermarks().committed(), collector, beforeRead)
                        .usedBytes();
                read++;
            } catch (IOException e) {
                findings.unknown(segment.path() + ": cannot be read (" + e.getMessage()
                        + "); look at the disk, then restore it");
            }
        }
        JournalScan scan = collector.scan(read, bytes);
        scan.damages().forEach(this::tell);
        checkLanes(scan);
        return scan;
    }

    private void tell(Damage damage) {
        List<String> committed = new ArrayList<>();
        List<String> open = new ArrayList<>();
        for (StoredVolume volume : stored.storedVolumes()) {
            if (RecoveryPlan.isLive(damage, volume)) {
                (damage.firstSequence() <= volume.marks().committed() ? committed : open).add(volume.name());
            }
        }
        for (RecoveredVms.Stored vm : stored.vms().stored()) {
            if (damage.concerns(vm.lane())
                    && damage.firstSequence() > vm.settled()
                    && vm.state().record().getVolumesCount() > 0) {
                open.add("VM " + vm.name());
            }
        }
        if (!committed.isEmpty()) {
            findings.inconsistent(damage.what() + ", committed and not in the image of " + String.join(", ", committed)
                    + "; a server does not serve that; restore the file from a copy, or the volume from a backup");
        } else if (!open.isEmpty()) {
            findings.inconsistent(damage.what() + ", not committed, of " + String.join(", ", open)
                    + "; a server goes back to the last commit; start it");
        } else {
            findings.note(damage.what() + ", which nobody needs any more; look at the disk");
        }
    }

    private void checkLanes(JournalScan scan) {
        Set<Integer> unknown = new TreeSet<>();
        for (Found found : scan.records()) {
            if (!lanes.contains(found.header().lane())
                    && unknown.add(found.header().lane())) {
                findings.inconsistent(found.record().segment() + ": record "
                        + found.header().sequence() + " at byte "
                        + found.record().position() + " is of number "
                        + found.header().lane()
                        + ", which is no volume's or VM's; restore the data directory from a copy");
            }
        }
    }
}
