package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;

/**
 * Encodes what a server says. Every method appends to a caller's buffer; a reply's data is the caller's to append or send behind
 * its header.
 *
 * <pre>
 *  greeting          "NBDMAGIC":64 "IHAVEOPT":64 flags:16
 *  option reply      magic:64 option:32 type:32 length:32 data
 *  simple reply      magic:32 error:32 cookie:64 [data]
 *  structured chunk  magic:32 flags:16 type:16 cookie:64 length:32 payload
 *  extended chunk    magic:32 flags:16 type:16 cookie:64 offset:64 length:64 payload
 *
 *  payload of data   offset:64 data
 *     hole           offset:64 length:32
 *     status         context:32 (length:32 flags:32) …
 *     extended       context:32 count:32 (length:64 flags:64) …
 *     error          error:32 length:16 message
 * </pre>
 *
 * <p>Where a method takes a request, that is the one as the client sent it, also where only a piece of it is answered.
 */
public final class NbdServerEncoder {
    /** The longest header of a chunk. */
    private static final int CHUNK_BYTES = 32;

    private NbdServerEncoder() {}

    public static void greeting(ByteBuf out) {
        out.writeLong(Nbd.MAGIC).writeLong(Nbd.OPTION_MAGIC).writeShort(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES);
    }

    public static void optionReply(ByteBuf out, NbdOptionReply reply) {
        switch (reply) {
            case NbdOptionReply.Ack(int option) -> header(out, option, Nbd.REP_ACK, 0);
            case NbdOptionReply.Server(int option, String name, String description) -> {
                byte[] nameBytes = NbdStrings.encode(name);
                byte[] descriptionBytes = NbdStrings.encode(description);
                header(out, option, Nbd.REP_SERVER, 4 + nameBytes.length + descriptionBytes.length);
                out.writeInt(nameBytes.length).writeBytes(nameBytes).writeBytes(descriptionBytes);
            }
            case NbdOptionReply.Export(int option, long sizeBytes, int flags) -> {
                header(out, option, Nbd.REP_INFO, 12);
                out.writeShort(Nbd.INFO_EXPORT).writeLong(sizeBytes).writeShort(flags);
            }
            case NbdOptionReply.Name(int option, String name) -> text(out, option, Nbd.INFO_NAME, name);
            case NbdOptionReply.Description(int option, String text) -> text(out, option, Nbd.INFO_DESCRIPTION, text);
            case NbdOptionReply.BlockSize(int option, int minimum, int preferred, int maximum) -> {
                header(out, option, Nbd.REP_INFO, 14);
                out.writeShort(Nbd.INFO_BLOCK_SIZE)
                        .writeInt(minimum)
                        .writeInt(preferred)
                        .writeInt(maximum);
            }
            case NbdOptionReply.MetaContext(int option, int id, String name) -> {
                byte[] bytes = NbdStrings.encode(name);
                header(out, option, Nbd.REP_META_CONTEXT, 4 + bytes.length);
                out.writeInt(id).writeBytes(bytes);
            }
            case NbdOptionReply.Failure(int option, int type, String message) -> {
                byte[] bytes = NbdStrings.encode(message);
                header(out, option, type, bytes.length);
                out.writeBytes(bytes);
            }
            case NbdOptionReply.Unknown(int option, int type) -> header(out, option, type, 0);
            case NbdOptionReply.ExportNameAnswer(long sizeBytes, int flags, boolean zeroes) -> {
                out.writeLong(sizeBytes).writeShort(flags);
                if (zeroes) {
                    out.writeZero(Nbd.EXPORT_NAME_ZEROES);
                }
            }
        }
    }

    private static void header(ByteBuf out, int option, int type, int lengthBytes) {
        out.writeLong(Nbd.OPTION_REPLY_MAGIC).writeInt(option).writeInt(type).writeInt(lengthBytes);
    }

    private static void text(ByteBuf out, int option, int information, String text) {
        byte[] bytes = NbdStrings.encode(text);
        header(out, option, Nbd.REP_INFO, 2 + bytes.length);
        out.writeShort(information).writeBytes(bytes);
    }

    /** The whole reply to a request that was carried out; a read has had its data before. */
    public static void success(ByteBuf out, NbdHeaders headers, NbdRequest request) {
        if (headers == NbdHeaders.EXTENDED || (headers.chunked() && request instanceof NbdRequest.Read)) {
            chunk(out, headers, request, Nbd.REPLY_FLAG_DONE, Nbd.REPLY_TYPE_NONE, 0);
        } else {
            simple(out, request, NbdError.OK);
        }
    }

    /**
     * The whole reply to a request that failed, or the last chunk of it.
     *
     * @param message for people; lost in simple replies
     */
    public static void failure(ByteBuf out, NbdHeaders headers, NbdRequest request, NbdError error, String message) {
        if (!headers.chunked()) {
            simple(out, request, error);
            return;
        }
        byte[] bytes = NbdStrings.encode(message);
        chunk(out, headers, request, Nbd.REPLY_FLAG_DONE, Nbd.REPLY_TYPE_ERROR, 6 + bytes.length);
        out.writeInt(error.code()).writeShort(bytes.length).writeBytes(bytes);
    }

    /**
     * What stands before {@code dataBytes} of a read's data; at least 1. {@link NbdHeaders#dataHeaderBytes} long.
     *
     * @param done whether it is the last chunk; a simple reply has no other
     * @param offset where these bytes are in the export
     */
    public static void dataHeader(
            ByteBuf out, NbdHeaders headers, NbdRequest request, boolean done, long offset, int dataBytes) {
        if (!headers.chunked()) {
            simple(out, request, NbdError.OK);
            return;
        }
        chunk(out, headers, request, flags(done), Nbd.REPLY_TYPE_OFFSET_DATA, Long.BYTES + dataBytes);
        out.writeLong(offset);
    }

    /** {@code REPLY_TYPE_OFFSET_HOLE}; for chunked headers only. */
    public static void hole(
            ByteBuf out, NbdHeaders headers, NbdRequest request, boolean done, long offset, int holeBytes) {
        chunk(out, headers, request, flags(done), Nbd.REPLY_TYPE_OFFSET_HOLE, Long.BYTES + Integer.BYTES);
        out.writeLong(offset).writeInt(holeBytes);
    }

    /**
     * What stands before {@code count} {@link #extent}s of one metadata context; for chunked headers only.
     *
     * @param count 1 to {@link Nbd#MAX_EXTENTS}
     */
    public static void statusHeader(
            ByteBuf out, NbdHeaders headers, NbdRequest request, boolean done, int contextId, int count) {
        if (headers == NbdHeaders.EXTENDED) {
            chunk(out, headers, request, flags(done), Nbd.REPLY_TYPE_BLOCK_STATUS_EXT, 8 + 16 * count);
            out.writeInt(contextId).writeInt(count);
        } else {
            chunk(out, headers, request, flags(done), Nbd.REPLY_TYPE_BLOCK_STATUS, 4 + 8 * count);
            out.writeInt(contextId);
        }
    }

    /** One extent; its length and flags must fit in 32 bits unless headers are extended. */
    public static void extent(ByteBuf out, NbdHeaders headers, long lengthBytes, long flags) {
        if (headers == NbdHeaders.EXTENDED) {
            out.writeLong(lengthBytes).writeLong(flags);
        } else {
            out.writeInt((int) lengthBytes).writeInt((int) flags);
        }
    }

    /** The most that a chunk with {@code count} extents takes. */
    public static int statusBytes(int count) {
        return CHUNK_BYTES + 8 + 16 * count;
    }

    private static int flags(boolean done) {
        return done ? Nbd.REPLY_FLAG_DONE : 0;
    }

    private static void simple(ByteBuf out, NbdRequest request, NbdError error) {
        out.writeInt(Nbd.SIMPLE_REPLY_MAGIC).writeInt(error.code()).writeLong(request.cookie());
    }

    private static void chunk(
            ByteBuf out, NbdHeaders headers, NbdRequest request, int flags, int type, int payloadBytes) {
        if (headers == NbdHeaders.EXTENDED) {
            out.writeInt(Nbd.EXTENDED_REPLY_MAGIC)
                    .writeShort(flags)
                    .writeShort(type)
                    .writeLong(request.cookie())
                    .writeLong(request.offset())
                    .writeLong(payloadBytes);
        } else {
            out.writeInt(Nbd.STRUCTURED_REPLY_MAGIC)
                    .writeShort(flags)
                    .writeShort(type)
                    .writeLong(request.cookie())
                    .writeInt(payloadBytes);
        }
    }
}
