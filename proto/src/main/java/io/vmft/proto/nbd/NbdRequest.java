package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;

/**
 * A request of the transmission phase; the specification's section "Request types". Offsets and lengths are bytes and
 * unsigned as on the wire, so that a {@code long} may be negative: whether they lie inside the export is for the receiver to check. Of the flags only known ones are set,
 * and only where the command allows them.
 */
public sealed interface NbdRequest {

    /** What the reply repeats; opaque. */
    long cookie();

    /** Where the range begins that it is about; 0 where there is none. */
    long offset();

    /**
     * Read.
     *
     * @param noFragment {@code CMD_FLAG_DF}
     */
    record Read(long cookie, long offset, int lengthBytes, boolean noFragment) implements NbdRequest {}

    /**
     * Write. A long one is decoded in pieces: messages with the same cookie, one directly after the other, each with its own
     * offset.
     *
     * @param data the payload, or this piece of it; owned by whoever holds the request, to be released once
     * @param remainingBytes how much of the payload follows in further pieces; 0: this is all, or the last one
     */
    record Write(long cookie, long offset, ByteBuf data, boolean fua, long remainingBytes) implements NbdRequest {
        public Write(long cookie, long offset, ByteBuf data, boolean fua) {
            this(cookie, offset, data, fua, 0);
        }
    }

    record Flush(long cookie) implements NbdRequest {
        @Override
        public long offset() {
            return 0;
        }
    }

    record Trim(long cookie, long offset, long lengthBytes, boolean fua) implements NbdRequest {}

    /**
     * Make a range read as zeroes.
     *
     * @param noHole {@code CMD_FLAG_NO_HOLE}
     * @param fast {@code CMD_FLAG_FAST_ZERO}: rather fail than take as long as a write
     */
    record WriteZeroes(long cookie, long offset, long lengthBytes, boolean noHole, boolean fast, boolean fua)
            implements NbdRequest {}

    record Cache(long cookie, long offset, long lengthBytes) implements NbdRequest {}

    /**
     * What is there, in each of the negotiated metadata contexts?
     *
     * @param one {@code CMD_FLAG_REQ_ONE}: one extent of each is enough
     */
    record BlockStatus(long cookie, long offset, long lengthBytes, boolean one) implements NbdRequest {}

    /** The client leaves; it expects no reply. */
    record Disconnect(long cookie) implements NbdRequest {
        @Override
        public long offset() {
            return 0;
        }
    }

    /**
     * A request that makes no sense or breaks a limit: to be answered with {@code error}. Its payload was skipped; the
     * connection can go on.
     */
    record Refused(long cookie, long offset, NbdError error, String message) implements NbdRequest {}
}
