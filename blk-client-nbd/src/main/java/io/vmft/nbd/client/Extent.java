package io.vmft.nbd.client;

/**
 * A stretch of an export, and what one metadata context says about it.
 *
 * @param offset in the export
 * @param lengthBytes at least 1
 * @param flags of the context
 */
public record Extent(long offset, long lengthBytes, long flags) {
    /** The context that every server with block status has; the specification's section "Metadata querying". */
    public static final String ALLOCATION = "base:allocation";

    private static final long HOLE = 1;
    private static final long ZERO = 1 << 1;

    /** In {@link #ALLOCATION}: takes no space. Says nothing about what is read. */
    public boolean hole() {
        return (flags & HOLE) != 0;
    }

    /** In {@link #ALLOCATION}: reads as zeroes. */
    public boolean zero() {
        return (flags & ZERO) != 0;
    }

    public long end() {
        return offset + lengthBytes;
    }
}
