package io.vmft.blk.journal;

import java.nio.file.Path;
import java.util.Locale;

/**
 * What the catalogue knows of a segment.
 *
 * @param slot which file it is in; files are used again, ids are not
 * @param lastSequence its last record once nothing more will be appended; -1 before
 */
public record SegmentEntry(long id, int slot, long sizeBytes, long firstSequence, long lastSequence) {
    /** How segment files' names end. */
    public static final String SUFFIX = ".segment";

    public boolean closed() {
        return lastSequence >= 0;
    }

    /** The file it is in. */
    public Path path(Path journal) {
        return path(journal, slot);
    }

    static Path path(Path journal, int slot) {
        return journal.resolve(String.format(Locale.ROOT, "%06d%s", slot, SUFFIX));
    }
}
