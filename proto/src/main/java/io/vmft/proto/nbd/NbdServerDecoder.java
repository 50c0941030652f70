package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import java.util.function.IntSupplier;

/**
 * Decodes what a client sends: {@link NbdClientFlags}, then {@link NbdOption}s, and from {@link #startTransmission} on
 * {@link NbdRequest}s.
 *
 * <pre>
 *  client flags   flags:32
 *  option         "IHAVEOPT":64 option:32 length:32 data
 *  request        magic:32 flags:16 command:16 cookie:64 offset:64 length:32 [payload of a write]
 *  extended       magic:32 flags:16 command:16 cookie:64 offset:64 length:64 [payload if flagged]
 * </pre>
 *
 * <p>After {@code OPT_GO} and {@code OPT_EXPORT_NAME} the receiver must decide before more is decoded: at once, by calling
 * {@link #startTransmission} or by doing nothing (the handshake goes on), or later, between {@link #pause} and {@link #resume}.
 */
public final class NbdServerDecoder extends NbdUnitDecoder {
    /** Payloads of writes come in pieces of at most this, unless {@link #takeWritesIn} was called: what a connection holds does not grow with the request. */
    public static final int PIECE_BYTES = 256 << 10;

    private static final int OPTION_HEADER_BYTES = 16;

    private enum State {
        CLIENT_FLAGS,
        OPTION_HEADER,
        OPTION_DATA,
        REQUEST,
        WRITE_DATA
    }

    private State state = State.CLIENT_FLAGS;
    private NbdHeaders headers = NbdHeaders.SIMPLE;
    private int option;
    private int lengthBytes;
    private int remainingBytes;
    private IntSupplier pieceBytes = () -> PIECE_BYTES;
    private int flags;
    private long cookie;
    private long offset;

    public NbdServerDecoder() {
        super(Integer.BYTES);
    }

    /**
     * The client's chosen export was accepted: what follows are requests.
     *
     * @param negotiated what they look like, and which flags they may have
     */
    public void startTransmission(NbdHeaders negotiated) {
        headers = negotiated;
        next(State.REQUEST, headers.requestBytes());
    }

    /**
     * From now on payloads of writes come in pieces of at most so many bytes.
     *
     * @param mostBytes more than 0; asked when a piece begins, of which that much is held in memory until it is whole
     */
    public void takeWritesIn(IntSupplier mostBytes) {
        pieceBytes = mostBytes;
    }

    @Override
    void decode(ChannelHandlerContext ctx, ByteBuf unit) {
        switch (state) {
            case CLIENT_FLAGS -> clientFlags(ctx, unit.readInt());
            case OPTION_HEADER -> optionHeader(ctx, unit);
            case OPTION_DATA -> {
                next(State.OPTION_HEADER, OPTION_HEADER_BYTES);
                ctx.fireChannelRead(NbdOptionData.decode(option, unit.readSlice(lengthBytes)));
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
        int maxBytes = NbdOptionData.maxBytes(option);
        if (!NbdOptionData.isKnown(option)) {
            skip(dataBytes);
            ctx.fireChannelRead(new NbdOption.Unknown(option));
        } else if (option == Nbd.OPT_EXPORT_NAME && dataBytes > Nbd.MAX_STRING_BYTES) {
            throw NbdProtocolException.tooLong("an export name", dataBytes, Nbd.MAX_STRING_BYTES);
        } else if (option == Nbd.OPT_ABORT) {
            skip(dataBytes); // to be ignored, says the specification
            ctx.fireChannelRead(new NbdOption.Abort());
        } else if (dataBytes > maxBytes) {
            skip(dataBytes);
            ctx.fireChannelRead(new NbdOption.Malformed(
                    option, Nbd.REP_ERR_TOO_BIG, "option data is longer than " + maxBytes + " bytes"));
        } else if (dataBytes == 0) {
            ctx.fireChannelRead(NbdOptionData.decode(option, Unpooled.EMPTY_BUFFER));
        } else {
            lengthBytes = (int) dataBytes;
            next(State.OPTION_DATA, lengthBytes);
        }
    }

    private void request(ChannelHandlerContext ctx, ByteBuf unit) {
        int magic = unit.readInt();
        boolean extended = headers == NbdHeaders.EXTENDED;
        if (magic != (extended ? Nbd.EXTENDED_REQUEST_MAGIC : Nbd.REQUEST_MAGIC)) {
            throw NbdProtocolException.badMagic("a request", Integer.toUnsignedLong(magic));
        }
        flags = unit.readUnsignedShort();
        int command = unit.readUnsignedShort();
        cookie = unit.readLong();
        offset = unit.readLong();
        long length = extended ? unit.readLong() : unit.readUnsignedInt();
        // QEMU's client (seen with 10.0) sends a write's data without the flag, and its server takes that.
        boolean payload = command == Nbd.CMD_WRITE || (extended && (flags & Nbd.CMD_FLAG_PAYLOAD_LEN) != 0);
        if (command == Nbd.CMD_DISC) {
            ctx.fireChannelRead(new NbdRequest.Disconnect(cookie));
        } else if (payload) {
            payloadHeader(ctx, command, length);
        } else if ((flags & ~allowedFlags(command)) != 0) {
            ctx.fireChannelRead(refused(badFlags(command)));
        } else {
            ctx.fireChannelRead(request(command, length));
        }
    }

    private NbdRequest request(int command, long length) {
        boolean fua = (flags & Nbd.CMD_FLAG_FUA) != 0;
        return switch (command) {
            case Nbd.CMD_READ ->
                Long.compareUnsigned(length, Nbd.MAX_PAYLOAD_BYTES) > 0
                        ? refused(tooLong(length))
                        : new NbdRequest.Read(cookie, offset, (int) length, (flags & Nbd.CMD_FLAG_DF) != 0);
            case Nbd.CMD_FLUSH ->
                offset != 0 || length != 0 ? refused("a flush has no range") : new NbdRequest.Flush(cookie);
            case Nbd.CMD_TRIM -> new NbdRequest.Trim(cookie, offset, length, fua);
            case Nbd.CMD_CACHE -> new NbdRequest.Cache(cookie, offset, length);
            case Nbd.CMD_WRITE_ZEROES -> {
                boolean noHole = (flags & Nbd.CMD_FLAG_NO_HOLE) != 0;
                boolean fast = (flags & Nbd.CMD_FLAG_FAST_ZERO) != 0;
                yield new NbdRequest.WriteZeroes(cookie, offset, length, noHole, fast, fua);
            }
            case Nbd.CMD_BLOCK_STATUS ->
                new NbdRequest.BlockStatus(cookie, offset, length, (flags & Nbd.CMD_FLAG_REQ_ONE) != 0);
            default -> refused("unknown command " + command);
        };
    }

    /** FUA is to be accepted everywhere. Flags of commands that are refused anyway do not matter. */
    private int allowedFlags(int command) {
        int own = switch (command) {
            case Nbd.CMD_READ -> headers.chunked() ? Nbd.CMD_FLAG_DF : 0;
            case Nbd.CMD_WRITE -> headers == NbdHeaders.EXTENDED ? Nbd.CMD_FLAG_PAYLOAD_LEN : 0;
            case Nbd.CMD_WRITE_ZEROES -> Nbd.CMD_FLAG_NO_HOLE | Nbd.CMD_FLAG_FAST_ZERO;
            case Nbd.CMD_BLOCK_STATUS -> Nbd.CMD_FLAG_REQ_ONE;
            default -> 0;
        };
        return Nbd.CMD_FLAG_FUA | own;
    }

    /** A header behind which {@code length} bytes follow, whether or not the command has use for them. */
    private void payloadHeader(ChannelHandlerContext ctx, int command, long length) {
        boolean tooLong = Long.compareUnsigned(length, Nbd.MAX_PAYLOAD_BYTES) > 0;
        if (tooLong && headers == NbdHeaders.EXTENDED) {
            throw NbdProtocolException.tooLong(
                    "a payload", length, Nbd.MAX_PAYLOAD_BYTES); // as the specification demands
        }
        if (tooLong || (flags & ~allowedFlags(command)) != 0) {
            skip(length);
            ctx.fireChannelRead(refused(tooLong ? tooLong(length) : badFlags(command)));
        } else {
            remainingBytes = (int) length;
            expectWriteData();
            if (length == 0) {
                writeData(ctx, Unpooled.EMPTY_BUFFER);
            }
        }
    }

    private void expectWriteData() {
        lengthBytes = Math.min(remainingBytes, pieceBytes.getAsInt());
        if (lengthBytes == 0) {
            next(State.REQUEST, headers.requestBytes());
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

    private NbdRequest refused(String message) {
        return new NbdRequest.Refused(cookie, offset, NbdError.EINVAL, message);
    }

    private String badFlags(int command) {
        return "flags 0x" + Integer.toHexString(flags & ~allowedFlags(command)) + " are not allowed for command "
                + command;
    }

    private static String tooLong(long lengthBytes) {
        return "a payload of " + Long.toUnsignedString(lengthBytes) + " bytes is longer than " + Nbd.MAX_PAYLOAD_BYTES;
    }
}
