package io.vmft.blk.export;

import io.netty.buffer.ByteBuf;
import java.io.IOException;

/**
 * One connection's view of a volume. Calls block for as long as storage takes and may come from several threads at once;
 * requests that overlap in time may take effect in either order, as NBD allows. When a call that changes data returns, every
 * later read through any view of the same primary sees it.
 *
 * <p>Offsets and lengths are bytes; the caller has checked that they lie inside the volume.
 */
public interface ExportView extends AutoCloseable {
    long sizeBytes();

    /** Whether clients are told {@code NBD_FLAG_READ_ONLY}. A standby's view is not, but refuses writes all the same. */
    boolean readOnly();

    /** Appends {@code lengthBytes} bytes to {@code destination}, which stays the caller's. */
    void read(long offset, int lengthBytes, ByteBuf destination) throws IOException;

    /**
     * Writes all readable bytes of {@code source}, which stays the caller's and whose indices are not moved.
     *
     * @param fua return only when the data is as safe as {@link #flush} would make it
     */
    void write(long offset, ByteBuf source, boolean fua) throws IOException;

    /**
     * Makes the range read as zeroes.
     *
     * @param punchHole whether the range may become a hole ({@code NBD_CMD_FLAG_NO_HOLE} not set)
     */
    void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException;

    /** The range reads as zeroes afterwards. */
    void trim(long offset, long lengthBytes, boolean fua) throws IOException;

    /** Makes every write answered before, on any connection of this primary, as safe as the volume's mode promises. */
    void flush() throws IOException;

    @Override
    void close();
}
