package io.vmft.blk.volume;

/** What becomes of a volume's writes. */
public enum WriteMode {
    /** They go to the image; a flush is {@code fdatasync}. */
    DIRECT,
    /** They go to the journal's open epoch, and stay there until the epoch is committed. */
    JOURNALED,
    /**
     * They go to the journal because older ones are still there; a flush commits them. When nothing is left the volume turns
     * {@link #DIRECT}.
     */
    DRAINING
}
