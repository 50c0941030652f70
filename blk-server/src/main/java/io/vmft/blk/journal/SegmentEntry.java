package io.vmft.blk.journal;

/**
 * What the catalogue knows of a segment.
 *
 * @param slot which file it is in; files are used again, ids are not
 * @param lastSequence its last record once nothing more will be appended; -1 before
 */
record SegmentEntry(long id, int slot, long sizeBytes, long firstSequence, long lastSequence) {
    boolean closed() {
        return lastSequence >= 0;
    }
}
