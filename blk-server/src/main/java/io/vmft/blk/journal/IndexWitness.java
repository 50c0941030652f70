package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What the segments say of the index: each seal names a version of it that was durable then. An index that is behind was damaged (RocksDB
 * silently drops its log from a damaged place on, which to it looks like a power loss), replaced by an older one or deleted. Going on
 * with it would forget commits, and delete segments it knows nothing of.
 */
public final class IndexWitness {
    private final MetaView meta;
    private final Path directory;
    private final StoreFiles files;

    IndexWitness(MetaView meta, Path directory, StoreFiles files) {
        this.meta = meta;
        this.directory = directory;
        this.files = files;
    }

    /**
     * Checks the index of a server that does not run; changes nothing.
     *
     * @param directory the folder of the segments
     * @param found what was read of those that the index knows
     * @param segments those, as far as they can be read
     * @throws IOException with one line for the operator, if the index has lost something
     */
    public static void check(
            MetaView meta, Path directory, StoreFiles files, JournalScan found, List<SegmentView> segments)
            throws IOException {
        Set<Path> known = new HashSet<>();
        for (SegmentEntry entry : meta.segments()) {
            known.add(entry.path(directory));
        }
        List<Path> strays = new ArrayList<>();
        if (Files.isDirectory(directory)) {
            try (var listing = Files.newDirectoryStream(directory, "*" + SegmentEntry.SUFFIX)) {
                listing.forEach(path -> {
                    if (!known.contains(path)) {
                        strays.add(path);
                    }
                });
            }
        }
        new IndexWitness(meta, directory, files)
                .check(found.records(), segments.stream().map(SegmentView::file).toList(), strays);
    }

    /**
     * Checks before anything is changed.
     *
     * @param records found in the segments that the index knows
     * @param segments their files; one may have been used again since, by a segment that the index does not know
     * @param strays files in which, to the index, there is nothing
     * @throws IOException with one line for the operator, if the index has lost something
     */
    void check(List<JournalScan.Found> records, List<StoreFile> segments, List<Path> strays) throws IOException {
        if (meta.isNew() && !strays.isEmpty()) {
            throw lost("it is new and empty");
        }
        long newestId = 0;
        for (SegmentEntry entry : meta.segments()) {
            newestId = Math.max(newestId, entry.id());
        }
        long witnessed = newestVersion(records);
        for (StoreFile segment : segments) {
            witnessed = Math.max(witnessed, newestVersion(readUnknown(segment, newestId)));
        }
        for (Path stray : strays) {
            try (StoreFile file = files.open(stray, StoreFiles.Access.READ_ONLY)) {
                witnessed = Math.max(witnessed, newestVersion(readUnknown(file, newestId)));
            }
        }
        if (witnessed > meta.version()) {
            throw lost("its version is " + meta.version() + ", and " + witnessed + " was durable");
        }
    }

    private IOException lost(String how) {
        return new IOException("the journal's index beside " + directory + " has lost what the journal was told (" + how
                + "); " + MetaView.WAY_OUT);
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
    private static List<JournalScan.Found> readUnknown(StoreFile file, long newestId) throws IOException {
        long size = file.sizeBytes();
        if (size < RecordHeader.BYTES) {
            return List.of();
        }
        @Nullable RecordHeader first;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment start = arena.allocate(RecordHeader.BYTES, 8);
            file.read(0, start);
            first = RecordHeader.decode(start);
        }
        if (first == null || first.segmentId() <= newestId) {
            return List.of();
        }
        JournalScan.Collector found = new JournalScan.Collector(Map.of());
        SegmentEntry entry = new SegmentEntry(first.segmentId(), 0, size, first.sequence(), -1);
        Segment segment = new Segment(entry.id(), new SegmentFile(0, file, size), _ -> {});
        SegmentScanner.scan(segment, entry, 0, found, _ -> {});
        return found.scan(1, segment.end()).records();
    }
}
