package io.vmft.blk.journal;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.nio.file.Path;
import java.util.function.LongConsumer;

/**
 * A segment to be read, and nothing else: of a server that does not run ({@link #open}), or of a running one ({@link Journal#look}),
 * whose own account of it is left alone. Not thread-safe. What a {@link SegmentSink} is given may be read until {@link #close}.
 */
public final class SegmentView implements AutoCloseable {
    private final SegmentEntry entry;
    private final StoreFile file;
    private final AutoCloseable end;

    private SegmentView(SegmentEntry entry, StoreFile file, AutoCloseable end) {
        this.entry = entry;
        this.file = file;
        this.end = end;
    }

    /**
     * Opens the file of a segment in the catalogue.
     *
     * @param journal the directory of the segments
     */
    public static SegmentView open(StoreFiles files, Path journal, SegmentEntry entry) throws IOException {
        StoreFile file = files.open(entry.path(journal), StoreFiles.Access.READ_ONLY);
        return new SegmentView(entry, file, file);
    }

    /** A segment of a running journal, retained for this. */
    static SegmentView of(Segment segment, SegmentEntry entry) {
        return new SegmentView(entry, segment.file(), segment::release);
    }

    /** What is known of it; of a running journal's active segment, as if it had been closed when it was looked at. */
    public SegmentEntry entry() {
        return entry;
    }

    /** Its bytes, as {@link #path} has them. */
    StoreFile file() {
        return file;
    }

    public Path path() {
        return file.path();
    }

    /** What its file has now. */
    public long fileBytes() throws IOException {
        return file.sizeBytes();
    }

    /** What was found in a segment. */
    public record Extent(long lastSequence, long usedBytes) {}

    /**
     * Reads all of it, checksums too.
     *
     * @param knownThrough records at or below are known to have been written durably
     * @param beforeRead told how many bytes are about to be read, and may wait
     */
    public Extent scan(long knownThrough, SegmentSink sink, LongConsumer beforeRead) throws IOException {
        SegmentFile read = new SegmentFile(entry.slot(), file, entry.sizeBytes());
        Segment shadow = new Segment(entry.id(), read, _ -> {});
        SegmentScanner.scan(shadow, entry, knownThrough, sink, beforeRead);
        return new Extent(shadow.lastSequence(), shadow.end());
    }

    @Override
    public void close() throws IOException {
        try {
            end.close();
        } catch (IOException | RuntimeException e) {
            throw e;
        } catch (Exception e) {
            throw new IOException(e);
        }
    }
}
