package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What the segments say of the index: each seal names a version of it that was durable then. An index that is behind was damaged (RocksDB
 * silently drops its log from a damaged place on, which to it looks like a power loss), replaced by an older one or deleted. Going on
 * with it would forget commits, and delete segments it knows nothing of.
 */
final class IndexWitness {
    private final MetaStore meta;
    private final Path directory;

    IndexWitness(MetaStore meta, Path directory) {
        this.meta = meta;
        this.directory = directory;
    }

    /**
     * Checks before anything is changed.
     *
     * @param records found in the segments that the index knows
     * @param segments those; a file may have been used again since, by one that the index does not know
     * @param strays files in which, to the index, there is nothing
     * @param nextSegmentId above every id the index knows
     * @throws IOException with one line for the operator, if the index has lost something
     */
    void check(
            List<JournalScan.Found> records,
            Collection<Segment> segments,
            List<Path> strays,
            StoreFiles files,
            long nextSegmentId)
            throws IOException {
        if (meta.isNew() && !strays.isEmpty()) {
            throw lost("it is new and empty");
        }
        long witnessed = newestVersion(records);
        for (Segment segment : segments) {
            witnessed = Math.max(witnessed, newestVersion(readUnknown(segment.file(), nextSegmentId)));
        }
        for (Path stray : strays) {
            try (StoreFile file = files.open(stray, StoreFiles.Access.READ_ONLY)) {
                witnessed = Math.max(witnessed, newestVersion(readUnknown(file, nextSegmentId)));
            }
        }
        if (witnessed > meta.version()) {
            throw lost("its version is " + meta.version() + ", and " + witnessed + " was durable");
        }
    }

    private IOException lost(String how) {
        return new IOException("the journal's index beside " + directory + " has lost what the journal was told (" + how
                + "); " + MetaStore.WAY_OUT);
    }

    private static long newestVersion(List<JournalScan.Found> records) {
        long newest = 0;
        for (JournalScan.Found found : records) {
            if (found.header().kind() == RecordKind.SEAL) {
                newest = Math.max(newest, found.header().offset());
            }
        }
        return newest;
    }

    /** The records of a segment newer than the index; none if there is no such in the file. */
    private static List<JournalScan.Found> readUnknown(StoreFile file, long nextSegmentId) throws IOException {
        List<JournalScan.Found> records = new ArrayList<>();
        long size = file.sizeBytes();
        if (size < RecordHeader.BYTES) {
            return records;
        }
        @Nullable RecordHeader first;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment start = arena.allocate(RecordHeader.BYTES, 8);
            file.read(0, start);
            first = RecordHeader.decode(start);
        }
        if (first != null && first.segmentId() >= nextSegmentId) {
            SegmentEntry entry = new SegmentEntry(first.segmentId(), 0, size, first.sequence(), -1);
            Segment segment = new Segment(entry.id(), new SegmentFile(0, file, size), _ -> {});
            SegmentScanner.scan(segment, entry, Map.of(), records, new ArrayList<>());
        }
        return records;
    }
}
