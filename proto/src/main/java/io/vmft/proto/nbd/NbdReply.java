package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import java.util.List;

/**
 * A reply, or one chunk of one; the specification's sections "Simple reply message" and "Structured reply types". Buffers are owned by whoever holds the reply, to be released once.
 */
public sealed interface NbdReply {

    /** The request's cookie. */
    long cookie();

    /** Whether the request is answered with this. */
    boolean done();

    /** A simple reply without data: any answer but a successful read's. */
    record Simple(long cookie, NbdError error) implements NbdReply {
        @Override
        public boolean done() {
            return true;
        }
    }

    /** A simple reply to a read that succeeded. */
    record SimpleData(long cookie, ByteBuf data) implements NbdReply {
        @Override
        public boolean done() {
            return true;
        }
    }

    /** {@code REPLY_TYPE_NONE}: nothing more to say. */
    record None(long cookie) implements NbdReply {
        @Override
        public boolean done() {
            return true;
        }
    }

    /** {@code REPLY_TYPE_OFFSET_DATA} */
    record Data(long cookie, boolean done, long offset, ByteBuf data) implements NbdReply {}

    /** {@code REPLY_TYPE_OFFSET_HOLE}: these bytes are zero. */
    record Hole(long cookie, boolean done, long offset, long lengthBytes) implements NbdReply {}

    /**
     * {@code REPLY_TYPE_BLOCK_STATUS} and {@code …_EXT}: one metadata context's answer, from the request's offset on.
     *
     * @param extents at least one; one only if the request asked for one. Their lengths add up to less than 2^63
     */
    record BlockStatus(long cookie, boolean done, int contextId, List<NbdExtent> extents) implements NbdReply {
        public BlockStatus {
            extents = List.copyOf(extents);
        }
    }

    /** {@code REPLY_TYPE_ERROR} and its kin. */
    record Failure(long cookie, boolean done, NbdError error, String message) implements NbdReply {}
}
