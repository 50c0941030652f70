package io.vmft.nbd.client;

/** What a request may ask for besides; the specification's section "Command flags". */
public enum RequestFlag {
    /** For writes, trims and zeroes: answered only when what it changed is safe. */
    FUA,
    /** For zeroes: the place stays allocated. */
    NO_HOLE,
    /** For zeroes: fail with {@code ENOTSUP} rather than take as long as a write. */
    FAST_ZERO,
    /** For block status: one extent of each context is enough. */
    ONE_EXTENT
}
