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
 * </pre>
 */
public final class NbdServerEncoder {
    public static final int SIMPLE_HEADER_BYTES = 16;
    /** A chunk's header and the offset its data begins with. */
    public static final int DATA_HEADER_BYTES = 28;

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

    /** A whole reply without data, or before {@link NbdError#OK a successful} read's data. */
    public static void simpleReply(ByteBuf out, long cookie, NbdError error) {
        out.writeInt(Nbd.SIMPLE_REPLY_MAGIC).writeInt(error.code()).writeLong(cookie);
    }

    /** {@code REPLY_TYPE_NONE} */
    public static void none(ByteBuf out, long cookie) {
        chunk(out, Nbd.REPLY_FLAG_DONE, Nbd.REPLY_TYPE_NONE, cookie, 0);
    }

    /** What stands before {@code dataBytes} of {@code REPLY_TYPE_OFFSET_DATA}; at least 1. */
    public static void dataHeader(ByteBuf out, long cookie, boolean done, long offset, int dataBytes) {
        chunk(out, done ? Nbd.REPLY_FLAG_DONE : 0, Nbd.REPLY_TYPE_OFFSET_DATA, cookie, Long.BYTES + dataBytes);
        out.writeLong(offset);
    }

    /** {@code REPLY_TYPE_OFFSET_HOLE} */
    public static void hole(ByteBuf out, long cookie, boolean done, long offset, int holeBytes) {
        chunk(out, done ? Nbd.REPLY_FLAG_DONE : 0, Nbd.REPLY_TYPE_OFFSET_HOLE, cookie, Long.BYTES + Integer.BYTES);
        out.writeLong(offset).writeInt(holeBytes);
    }

    /** {@code REPLY_TYPE_ERROR}, the last chunk of its reply. */
    public static void failure(ByteBuf out, long cookie, NbdError error, String message) {
        byte[] bytes = NbdStrings.encode(message);
        chunk(out, Nbd.REPLY_FLAG_DONE, Nbd.REPLY_TYPE_ERROR, cookie, 6 + bytes.length);
        out.writeInt(error.code()).writeShort(bytes.length).writeBytes(bytes);
    }

    private static void chunk(ByteBuf out, int flags, int type, long cookie, int payloadBytes) {
        out.writeInt(Nbd.STRUCTURED_REPLY_MAGIC)
                .writeShort(flags)
                .writeShort(type)
                .writeLong(cookie)
                .writeInt(payloadBytes);
    }
}
