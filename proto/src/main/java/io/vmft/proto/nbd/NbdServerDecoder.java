package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Decodes what a client sends: {@link NbdClientFlags}, then {@link NbdOption}s, and from {@link #startTransmission} on
 * {@link NbdRequest}s.
 *
 * <pre>
 *  client flags   flags:32
 *  option         "IHAVEOPT":64 option:32 length:32 data
 *  request        magic:32 flags:16 command:16 cookie:64 offset:64 length:32 [payload of a write]
 * </pre>
 *
 * <p>After {@code OPT_GO} and {@code OPT_EXPORT_NAME} the receiver must decide before more is decoded: at once, by calling
 * {@link #startTransmission} or by doing nothing (the handshake goes on), or later, between {@link #pause} and {@link #resume}.
 */
public final class NbdServerDecoder extends NbdUnitDecoder {
    /** Payloads of writes come in pieces of at most this: what a connection holds does not grow with the request. */
    public static final int PIECE_BYTES = 256 << 10;

    private static final int OPTION_HEADER_BYTES = 16;
    private static final int REQUEST_BYTES = 28;
    /** Name, two lengths, and more information requests than there are. */
    private static final int MAX_OPTION_BYTES = Nbd.MAX_STRING_BYTES + 6 + 2 * 64;

    private enum State {
        CLIENT_FLAGS,
        OPTION_HEADER,
        OPTION_DATA,
        REQUEST,
        WRITE_DATA
    }

    private State state = State.CLIENT_FLAGS;
    private boolean structured;
    private int option;
    private int lengthBytes;
    private int remainingBytes;
    private int flags;
    private long cookie;
    private long offset;

    public NbdServerDecoder() {
        super(Integer.BYTES);
    }

    /**
     * The client's chosen export was accepted: what follows are requests.
     *
     * @param structuredReplies whether they were negotiated; only then may a read forbid fragments
     */
    public void startTransmission(boolean structuredReplies) {
        structured = structuredReplies;
        next(State.REQUEST, REQUEST_BYTES);
    }

    @Override
    void decode(ChannelHandlerContext ctx, ByteBuf unit) {
        switch (state) {
            case CLIENT_FLAGS -> clientFlags(ctx, unit.readInt());
            case OPTION_HEADER -> optionHeader(ctx, unit);
            case OPTION_DATA -> {
                next(State.OPTION_HEADER, OPTION_HEADER_BYTES);
                ctx.fireChannelRead(option(unit.readSlice(lengthBytes)));
            }
            case REQUEST -> request(ctx, unit);
            case WRITE_DATA -> writeData(ctx, unit.readRetainedSlice(lengthBytes));
        }
    }

    private void next(State next, int unitBytes) {
        state = next;
        expect(unitBytes);
    }

    private void clientFlags(ChannelHandlerContext ctx, int clientFlags) {
        if ((clientFlags & ~(Nbd.FLAG_FIXED_NEWSTYLE | Nbd.FLAG_NO_ZEROES)) != 0) {
            throw NbdProtocolException.unknownClientFlags(clientFlags);
        }
        next(State.OPTION_HEADER, OPTION_HEADER_BYTES);
        ctx.fireChannelRead(new NbdClientFlags(
                (clientFlags & Nbd.FLAG_FIXED_NEWSTYLE) != 0, (clientFlags & Nbd.FLAG_NO_ZEROES) != 0));
    }

    private void optionHeader(ChannelHandlerContext ctx, ByteBuf unit) {
        long magic = unit.readLong();
        if (magic != Nbd.OPTION_MAGIC) {
            throw NbdProtocolException.badMagic("an option", magic);
        }
        option = unit.readInt();
        long dataBytes = unit.readUnsignedInt();
        if (!isKnown(option)) {
            skip(dataBytes);
            ctx.fireChannelRead(new NbdOption.Unknown(option));
        } else if (option == Nbd.OPT_EXPORT_NAME && dataBytes > Nbd.MAX_STRING_BYTES) {
            throw NbdProtocolException.tooLong("an export name", dataBytes, Nbd.MAX_STRING_BYTES);
        } else if (option == Nbd.OPT_ABORT) {
            skip(dataBytes); // to be ignored, says the specification
            ctx.fireChannelRead(new NbdOption.Abort());
        } else if (dataBytes > MAX_OPTION_BYTES) {
            skip(dataBytes);
            ctx.fireChannelRead(new NbdOption.Malformed(
                    option, Nbd.REP_ERR_TOO_BIG, "option data is longer than " + MAX_OPTION_BYTES + " bytes"));
        } else if (dataBytes == 0) {
            ctx.fireChannelRead(option(Unpooled.EMPTY_BUFFER));
        } else {
            lengthBytes = (int) dataBytes;
            next(State.OPTION_DATA, lengthBytes);
        }
    }

    private static boolean isKnown(int option) {
        return switch (option) {
            case Nbd.OPT_EXPORT_NAME, Nbd.OPT_ABORT, Nbd.OPT_LIST, Nbd.OPT_INFO, Nbd.OPT_GO, Nbd.OPT_STRUCTURED_REPLY ->
                true;
            default -> false;
        };
    }

    private NbdOption option(ByteBuf data) {
        return switch (option) {
            case Nbd.OPT_EXPORT_NAME -> {
                String name = NbdStrings.read(data, data.readableBytes());
                if (name == null) {
                    throw NbdProtocolException.malformed("an export name is not UTF-8");
                }
                yield new NbdOption.ExportName(name);
            }
            case Nbd.OPT_LIST -> data.isReadable() ? surplus() : new NbdOption.ListExports();
            case Nbd.OPT_STRUCTURED_REPLY -> data.isReadable() ? surplus() : new NbdOption.StructuredReply();
            case Nbd.OPT_INFO, Nbd.OPT_GO -> infoOrGo(data);
            default -> throw new IllegalStateException("option " + option + " is known but not decoded");
        };
    }

    private NbdOption surplus() {
        return malformed("this option has no data");
    }

    private NbdOption malformed(String message) {
        return new NbdOption.Malformed(option, Nbd.REP_ERR_INVALID, message);
    }

    private NbdOption infoOrGo(ByteBuf data) {
        if (data.readableBytes() < 6) {
            return malformed("option data is shorter than 6 bytes");
        }
        long nameBytes = data.readUnsignedInt();
        if (nameBytes > data.readableBytes() - 2) {
            return malformed("the name is longer than the option data");
        }
        @Nullable String name = NbdStrings.read(data, (int) nameBytes);
        if (name == null) {
            return malformed("the name is not UTF-8, or longer than " + Nbd.MAX_STRING_BYTES + " bytes");
        }
        int count = data.readUnsignedShort();
        if (data.readableBytes() != 2 * count) {
            return malformed("the number of information requests does not match the option data");
        }
        List<Integer> requests = new ArrayList<>(count);
        for (int i = 0; i < count; i++) {
            requests.add(data.readUnsignedShort());
        }
        return option == Nbd.OPT_GO ? new NbdOption.Go(name, requests) : new NbdOption.Describe(name, requests);
    }

    private void request(ChannelHandlerContext ctx, ByteBuf unit) {
        int magic = unit.readInt();
        if (magic != Nbd.REQUEST_MAGIC) {
            throw NbdProtocolException.badMagic("a request", Integer.toUnsignedLong(magic));
        }
        flags = unit.readUnsignedShort();
        int command = unit.readUnsignedShort();
        cookie = unit.readLong();
        offset = unit.readLong();
        long length = unit.readUnsignedInt();
        if (command == Nbd.CMD_WRITE) {
            writeHeader(ctx, length);
        } else if ((flags & ~allowedFlags(command)) != 0) {
            refuse(ctx, command, "flags 0x" + Integer.toHexString(flags) + " are not allowed for command " + command);
        } else {
            ctx.fireChannelRead(request(command, length));
        }
    }

    private NbdRequest request(int command, long length) {
        boolean fua = (flags & Nbd.CMD_FLAG_FUA) != 0;
        return switch (command) {
            case Nbd.CMD_READ ->
                length > Nbd.MAX_PAYLOAD_BYTES
                        ? new NbdRequest.Refused(cookie, true, NbdError.EINVAL, tooLong(length))
                        : new NbdRequest.Read(cookie, offset, (int) length, (flags & Nbd.CMD_FLAG_DF) != 0);
            case Nbd.CMD_FLUSH -> new NbdRequest.Flush(cookie);
            case Nbd.CMD_TRIM -> new NbdRequest.Trim(cookie, offset, length, fua);
            case Nbd.CMD_CACHE -> new NbdRequest.Cache(cookie, offset, length);
            case Nbd.CMD_WRITE_ZEROES ->
                new NbdRequest.WriteZeroes(cookie, offset, length, (flags & Nbd.CMD_FLAG_NO_HOLE) != 0, fua);
            case Nbd.CMD_DISC -> new NbdRequest.Disconnect(cookie);
            default -> new NbdRequest.Refused(cookie, false, NbdError.EINVAL, "unknown command " + command);
        };
    }

    /** FUA is to be accepted everywhere. Flags of commands that are refused anyway do not matter. */
    private int allowedFlags(int command) {
        return switch (command) {
            case Nbd.CMD_READ -> structured ? Nbd.CMD_FLAG_FUA | Nbd.CMD_FLAG_DF : Nbd.CMD_FLAG_FUA;
            case Nbd.CMD_WRITE_ZEROES -> Nbd.CMD_FLAG_FUA | Nbd.CMD_FLAG_NO_HOLE;
            default -> Nbd.CMD_FLAG_FUA;
        };
    }

    private void writeHeader(ChannelHandlerContext ctx, long length) {
        if (length > Nbd.MAX_PAYLOAD_BYTES) {
            skip(length);
            ctx.fireChannelRead(new NbdRequest.Refused(cookie, false, NbdError.EINVAL, tooLong(length)));
        } else if ((flags & ~allowedFlags(Nbd.CMD_WRITE)) != 0) {
            skip(length);
            refuse(ctx, Nbd.CMD_WRITE, "flags 0x" + Integer.toHexString(flags) + " are not allowed for a write");
        } else {
            remainingBytes = (int) length;
            expectWriteData();
            if (length == 0) {
                writeData(ctx, Unpooled.EMPTY_BUFFER);
            }
        }
    }

    private void expectWriteData() {
        lengthBytes = Math.min(remainingBytes, PIECE_BYTES);
        if (lengthBytes == 0) {
            next(State.REQUEST, REQUEST_BYTES);
        } else {
            next(State.WRITE_DATA, lengthBytes);
        }
    }

    private void writeData(ChannelHandlerContext ctx, ByteBuf data) {
        boolean fua = (flags & Nbd.CMD_FLAG_FUA) != 0;
        long pieceOffset = offset;
        offset += data.readableBytes();
        remainingBytes -= data.readableBytes();
        expectWriteData();
        ctx.fireChannelRead(new NbdRequest.Write(cookie, pieceOffset, data, fua, remainingBytes));
    }

    private void refuse(ChannelHandlerContext ctx, int command, String message) {
        ctx.fireChannelRead(new NbdRequest.Refused(cookie, command == Nbd.CMD_READ, NbdError.EINVAL, message));
    }

    private static String tooLong(long lengthBytes) {
        return "a payload of " + lengthBytes + " bytes is longer than " + Nbd.MAX_PAYLOAD_BYTES;
    }
}
