package io.vmft.blk.overlay;

import io.vmft.blk.journal.JournalRecord;
import org.jspecify.annotations.Nullable;

/**
 * A part of a resolved range and where its bytes are.
 *
 * @param record null: in the image
 */
public record Piece(long start, long end, @Nullable JournalRecord record) {
    public long lengthBytes() {
        return end - start;
    }
}
