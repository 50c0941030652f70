package io.vmft.blk.export;

/**
 * A stretch of a volume and what one metadata context says about it.
 *
 * @param lengthBytes from 1
 * @param flags of the context; {@code base:allocation}: {@link #HOLE}, {@link #ZERO}
 */
public record BlockStatus(long lengthBytes, int flags) {
    /** The context every view has; the NBD specification's section "Metadata querying". */
    public static final String ALLOCATION = "base:allocation";

    /**
     * Begins the names of the contexts that say what changed since a point, which follows in decimal: {@code docs/backup.md}. Committed
     * views have them.
     */
    public static final String EPOCH_DIRTY = "vmft:epoch-dirty:";

    /** Of {@link #EPOCH_DIRTY}: may differ from what it was at the point. */
    public static final int DIRTY = 1;

    /** {@code NBD_STATE_HOLE}: takes no space. */
    public static final int HOLE = 1;

    /** {@code NBD_STATE_ZERO}: reads as zeroes. */
    public static final int ZERO = 1 << 1;
}
