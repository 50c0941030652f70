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
     * Scans as {@link SegmentScanner} does; what is found of each is told in the order of the segments.
     *
     * @param segments with their entries, in the order of their sequence numbers
     */
    static void run(
            Map<Segment, SegmentEntry> segments,
            Map<Integer, Long> settled,
            List<JournalScan.Found> records,
            List<JournalScan.Damage> damages)
            throws IOException {
        int readers = Math.clamp(segments.size(), 1, MAX_READERS);
        try (ExecutorService pool = Executors.newFixedThreadPool(
                readers, Thread.ofPlatform().name("journal-read-", 0).daemon().factory())) {
            List<Future<JournalScan>> scans = new ArrayList<>();
            segments.forEach((segment, entry) -> scans.add(pool.submit(() -> scan(segment, entry, settled))));
            try {
                for (Future<JournalScan> scan : scans) {
                    JournalScan found = scan.get();
                    records.addAll(found.records());
                    damages.addAll(found.damages());
                }
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

    private static JournalScan scan(Segment segment, SegmentEntry entry, Map<Integer, Long> settled)
            throws IOException {
        JournalScan scan = new JournalScan(1, new ArrayList<>(), new ArrayList<>());
        SegmentScanner.scan(segment, entry, settled, scan.records(), scan.damages());
        return scan;
    }
}
