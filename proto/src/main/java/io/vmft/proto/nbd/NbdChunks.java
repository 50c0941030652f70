package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The payloads of reply chunks, as a client may meet them: what cannot be an answer to the request it waits for is refused before any
 * memory is given to it. The layouts are drawn at {@link NbdServerEncoder}.
 */
final class NbdChunks {
    private static final int ERROR_BYTES = 6;
    private static final int MAX_ERROR_BYTES = ERROR_BYTES + Long.BYTES + Nbd.MAX_STRING_BYTES;
    private static final int STATUS_BYTES = 4;
    private static final int EXTENT_BYTES = 8;
    private static final int EXTENDED_STATUS_BYTES = 8;
    private static final int EXTENDED_EXTENT_BYTES = 16;

    private NbdChunks() {}

    /**
     * Checks a chunk's header.
     *
     * @param payloadBytes as it stands there, unsigned
     * @param pending the request of this cookie; null: none is waited for
     * @throws NbdProtocolException if it lies, or announces more than the request can be answered with
     */
    static void check(NbdHeaders headers, int type, boolean done, long payloadBytes, @Nullable NbdRequest pending) {
        switch (type) {
            case Nbd.REPLY_TYPE_NONE -> {
                if (payloadBytes != 0 || !done) {
                    throw NbdProtocolException.malformed("an empty reply chunk is not empty or not the last");
                }
            }
            case Nbd.REPLY_TYPE_OFFSET_DATA -> {
                long dataBytes = payloadBytes - Long.BYTES;
                if (payloadBytes < 0 || dataBytes <= 0) {
                    throw NbdProtocolException.malformed("a data chunk without data");
                }
                int readBytes = pending instanceof NbdRequest.Read read ? read.lengthBytes() : 0;
                if (dataBytes > readBytes) {
                    throw NbdProtocolException.tooLong("a data chunk", dataBytes, readBytes);
                }
            }
            case Nbd.REPLY_TYPE_OFFSET_HOLE -> {
                if (payloadBytes != Long.BYTES + Integer.BYTES) {
                    throw NbdProtocolException.malformed("a hole chunk has the wrong length");
                }
            }
            case Nbd.REPLY_TYPE_BLOCK_STATUS, Nbd.REPLY_TYPE_BLOCK_STATUS_EXT ->
                checkStatus(headers, type, payloadBytes, pending);
            default -> {
                if ((type & Nbd.REPLY_TYPE_ERROR_BIT) == 0) {
                    throw NbdProtocolException.unknownReply("reply type", type);
                }
                if (payloadBytes < ERROR_BYTES || payloadBytes > MAX_ERROR_BYTES) {
                    throw NbdProtocolException.malformed(
                            "an error chunk of " + Long.toUnsignedString(payloadBytes) + " bytes");
                }
            }
        }
    }

    private static void checkStatus(NbdHeaders headers, int type, long payloadBytes, @Nullable NbdRequest pending) {
        boolean extended = type == Nbd.REPLY_TYPE_BLOCK_STATUS_EXT;
        if (!(pending instanceof NbdRequest.BlockStatus asked) || extended != (headers == NbdHeaders.EXTENDED)) {
            throw NbdProtocolException.unknownReply("reply type", type);
        }
        long extentsBytes = payloadBytes - (extended ? EXTENDED_STATUS_BYTES : STATUS_BYTES);
        int extentBytes = extended ? EXTENDED_EXTENT_BYTES : EXTENT_BYTES;
        if (payloadBytes < 0 || extentsBytes <= 0 || extentsBytes % extentBytes != 0) {
            throw NbdProtocolException.malformed(
                    "a block status chunk of " + Long.toUnsignedString(payloadBytes) + " bytes");
        }
        long count = extentsBytes / extentBytes;
        // Only the last extent may go beyond what was asked for, and none is empty.
        long limit = asked.one() ? 1 : Math.min(asked.lengthBytes(), Nbd.MAX_EXTENTS);
        if (count > limit) {
            throw NbdProtocolException.malformed("a block status chunk of " + count + " extents, more than " + limit);
        }
    }

    /** Takes the payload of a chunk that passed {@link #check}. */
    static NbdReply decode(int type, long cookie, boolean done, ByteBuf payload, int payloadBytes) {
        return switch (type) {
            case Nbd.REPLY_TYPE_OFFSET_DATA ->
                new NbdReply.Data(
                        cookie, done, payload.readLong(), payload.readRetainedSlice(payloadBytes - Long.BYTES));
            case Nbd.REPLY_TYPE_OFFSET_HOLE ->
                new NbdReply.Hole(cookie, done, payload.readLong(), payload.readUnsignedInt());
            case Nbd.REPLY_TYPE_BLOCK_STATUS -> {
                int contextId = payload.readInt();
                int count = (payloadBytes - STATUS_BYTES) / EXTENT_BYTES;
                yield new NbdReply.BlockStatus(cookie, done, contextId, extents(payload, count, false));
            }
            case Nbd.REPLY_TYPE_BLOCK_STATUS_EXT -> {
                int contextId = payload.readInt();
                int count = (payloadBytes - EXTENDED_STATUS_BYTES) / EXTENDED_EXTENT_BYTES;
                if (payload.readInt() != count) {
                    throw NbdProtocolException.malformed("the number of extents does not match the chunk");
                }
                yield new NbdReply.BlockStatus(cookie, done, contextId, extents(payload, count, true));
            }
            default -> failure(cookie, done, payload, payloadBytes);
        };
    }

    private static List<NbdExtent> extents(ByteBuf payload, int count, boolean extended) {
        List<NbdExtent> extents = new ArrayList<>(count);
        long totalBytes = 0;
        for (int i = 0; i < count; i++) {
            long lengthBytes = extended ? payload.readLong() : payload.readUnsignedInt();
            long flags = extended ? payload.readLong() : payload.readUnsignedInt();
            totalBytes += lengthBytes;
            if (lengthBytes <= 0 || totalBytes < 0) {
                throw NbdProtocolException.malformed("an extent is empty or ends beyond 8 EiB");
            }
            extents.add(new NbdExtent(lengthBytes, flags));
        }
        return extents;
    }

    private static NbdReply failure(long cookie, boolean done, ByteBuf payload, int payloadBytes) {
        NbdError error = NbdError.of(payload.readInt());
        int messageBytes = payload.readUnsignedShort();
        int restBytes = payloadBytes - ERROR_BYTES - messageBytes;
        if (restBytes < 0) {
            throw NbdProtocolException.malformed("an error message is longer than its chunk");
        }
        String message = NbdStrings.readLenient(payload, messageBytes);
        payload.skipBytes(restBytes);
        return new NbdReply.Failure(cookie, done, error, message);
    }
}
