package io.vmft.blk.journal;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Reads segments on all processors: a crash's recovery is the reading of what was written, and its checksums. */
final class SegmentScans {
    /** As many as keep a disk busy while others check what they have read; each holds a window of memory. */
    private static final int MAX_READERS = 4;

    private SegmentScans() {}

    /**
     * Scans as {@link SegmentScanner} does: what is found, without what is settled, in the order of the segments.
     *
     * @param segments with their entries, in the order of their sequence numbers
     * @param known what is stored of lanes
     */
    static JournalScan run(Map<Segment, SegmentEntry> segments, Watermarks known) throws IOException {
        List<JournalScan.Found> records = new ArrayList<>();
        List<JournalScan.Damage> damages = new ArrayList<>();
        long bytes = 0;
        int readers = Math.clamp(segments.size(), 1, MAX_READERS);
        try (ExecutorService pool = Executors.newFixedThreadPool(
                readers, Thread.ofPlatform().name("journal-read-", 0).daemon().factory())) {
            List<Future<JournalScan>> scans = new ArrayList<>();
            segments.forEach((segment, entry) -> scans.add(pool.submit(() -> scan(segment, entry, known))));
            try {
                for (Future<JournalScan> scan : scans) {
                    JournalScan found = scan.get();
                    records.addAll(found.records());
                    damages.addAll(found.damages());
                    bytes += found.bytes();
                }
                return new JournalScan(segments.size(), bytes, records, damages);
            } finally {
                scans.forEach(scan -> scan.cancel(false));
            }
        } catch (ExecutionException e) {
            if (e.getCause() instanceof IOException failure) {
                throw failure;
            }
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while the journal was read", e);
        }
    }

    private static JournalScan scan(Segment segment, SegmentEntry entry, Watermarks known) throws IOException {
        JournalScan.Collector found = new JournalScan.Collector(known.settled());
        SegmentScanner.scan(segment, entry, known.committed(), found, _ -> {});
        return found.scan(1, segment.end());
    }
}
