package io.vmft.blk.export;

import io.netty.buffer.ByteBuf;
import io.netty.channel.FileRegion;
import java.io.IOException;
import java.util.List;
import org.jspecify.annotations.Nullable;

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

    /** Whether its client may use several connections at once ({@code NBD_FLAG_CAN_MULTI_CONN}): none ends the others. */
    boolean multiConn();

    /** Appends {@code lengthBytes} bytes to {@code destination}, which stays the caller's. */
    void read(long offset, int lengthBytes, ByteBuf destination) throws IOException;

    /**
     * The range as a part of a file, for the kernel to send without a copy.
     *
     * @return to be released; null if it must be {@link #read}
     */
    default @Nullable FileRegion region(long offset, int lengthBytes) throws IOException {
        return null;
    }

    /** A {@link #region} could not be sent whole: from now on there are none of this volume, and reading answers for itself. */
    default void regionFailed() {}

    /**
     * Writes all readable bytes of {@code source}, which stays the caller's and whose indices are not moved.
     *
     * @param fua return only when the data is as safe as {@link #flush} would make it
     */
    void write(long offset, ByteBuf source, boolean fua) throws IOException;

    /** A write that need not be safe when it returns. */
    record Write(long offset, ByteBuf data) {}

    /** Whether changes are journaled, as things stand, and may then wait for room: {@link #writeAtOnce} and {@link #writeTogether} do not. */
    default boolean journals() {
        return false;
    }

    /**
     * As {@link #write} without {@code fua}, if that waits for nobody: neither for room nor for a change of the volume's mode, only for storage.
     *
     * @return false: it might wait; nothing was written
     */
    default boolean writeAtOnce(long offset, ByteBuf source) throws IOException {
        return false;
    }

    /**
     * Carries out writes as if by {@link #write} one after the other, as far as they wait for nobody: neither for room nor for a change of
     * the volume's mode, only for storage. Their data stays the caller's.
     *
     * @return how many of them, from the first on, were done; the others were not, each of them must be written by itself and will
     *     find what is in its way
     */
    default int writeTogether(List<Write> writes) {
        return 0;
    }

    /**
     * Makes the range read as zeroes.
     *
     * @param punchHole whether the range may become a hole ({@code NBD_CMD_FLAG_NO_HOLE} not set)
     */
    void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException;

    /**
     * Whether {@link #writeZeroes} costs much less than writing as many bytes ({@code NBD_CMD_FLAG_FAST_ZERO}).
     *
     * @param punchHole as it will be asked for
     */
    boolean zeroesFast(boolean punchHole);

    /** The range reads as zeroes afterwards. */
    void trim(long offset, long lengthBytes, boolean fua) throws IOException;

    /** Whether {@link #flush} has nothing to wait for, as things stand. */
    default boolean flushesAtOnce() {
        return false;
    }

    /** Makes every write answered before, on any connection of this primary, as safe as the volume's mode promises. */
    void flush() throws IOException;

    /** Reads ahead what may be read soon ({@code NBD_CMD_CACHE}): a hint. */
    void cache(long offset, long lengthBytes) throws IOException;

    /**
     * Metadata contexts that answer a client's query: for {@code NBD_OPT_SET_META_CONTEXT} those that carry exactly this name, for
     * {@code NBD_OPT_LIST_META_CONTEXT} also those whose name begins with a query that ends in a colon.
     *
     * @param query {@code namespace:leaf}, not trusted; empty, when listing: all there are
     * @param list whether the client only wants to see them
     * @return full names, few; empty if the query fits none
     */
    List<String> contexts(String query, boolean list);

    /**
     * What is at a range, in one context.
     *
     * @param context a name {@link #contexts} gave
     * @param limit how many extents at most, from 1
     * @return extents in order and without gaps from {@code offset} on, neighbours with different flags; they may end before the range
     *     does (at least one is returned), and the last may reach past its end, but not past the volume's
     */
    List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException;

    /** For people: a line on what is served ({@code NBD_INFO_DESCRIPTION}). */
    String description();

    /** No call is running, and none follows. */
    @Override
    void close();
}
