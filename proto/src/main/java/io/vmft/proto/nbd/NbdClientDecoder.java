package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import java.util.function.LongFunction;
import org.jspecify.annotations.Nullable;

/**
 * Decodes what a server sends: an {@link NbdGreeting}, then {@link NbdOptionReply}s, and from {@link #startTransmission} on
 * {@link NbdReply}s. The layouts are drawn at {@link NbdServerEncoder}.
 *
 * <p>Whatever a server sends that this side could not have asked for is an {@link NbdProtocolException}.
 */
public final class NbdClientDecoder extends NbdUnitDecoder {
    private static final int GREETING_BYTES = 18;
    private static final int OPTION_REPLY_BYTES = 20;
    private static final int EXPORT_NAME_ANSWER_BYTES = 10;
    /** Option replies hold at most two strings and some numbers. */
    private static final int MAX_OPTION_REPLY_BYTES = 2 * Nbd.MAX_STRING_BYTES + 64;
    /** All kinds of reply header begin with magic:32; the rest differs in length. */
    private static final int REPLY_MAGIC_BYTES = 4;

    private static final int SIMPLE_REST_BYTES = 12;
    private static final int CHUNK_REST_BYTES = 16;
    private static final int EXTENDED_REST_BYTES = 28;

    private enum State {
        GREETING,
        OPTION_REPLY,
        OPTION_REPLY_DATA,
        EXPORT_NAME_ANSWER,
        REPLY_MAGIC,
        EXTENDED_HEADER,
        SIMPLE_REST,
        SIMPLE_DATA,
        CHUNK_REST,
        CHUNK_PAYLOAD
    }

    private State state = State.GREETING;
    private NbdHeaders headers = NbdHeaders.SIMPLE;
    private LongFunction<@Nullable NbdRequest> pending = _ -> null;
    private boolean zeroes;
    private int option;
    private int type;
    private int lengthBytes;
    private boolean done;
    private long cookie;

    public NbdClientDecoder() {
        super(GREETING_BYTES);
    }

    /** The client has sent {@code OPT_EXPORT_NAME}: the answer has no header. */
    public void expectExportNameAnswer(boolean withZeroes) {
        zeroes = withZeroes;
        next(State.EXPORT_NAME_ANSWER, EXPORT_NAME_ANSWER_BYTES + (withZeroes ? Nbd.EXPORT_NAME_ZEROES : 0));
    }

    /**
     * The server accepted the export: what follows are replies.
     *
     * @param negotiated what they look like
     * @param pendingByCookie the request that waits for an answer to this cookie, or null: it tells how long a simple reply is, and what
     *     no honest server would send. Called on the event loop.
     */
    public void startTransmission(NbdHeaders negotiated, LongFunction<@Nullable NbdRequest> pendingByCookie) {
        headers = negotiated;
        pending = pendingByCookie;
        expectReply();
    }

    private void expectReply() {
        if (headers == NbdHeaders.EXTENDED) {
            next(State.EXTENDED_HEADER, REPLY_MAGIC_BYTES + EXTENDED_REST_BYTES);
        } else {
            next(State.REPLY_MAGIC, REPLY_MAGIC_BYTES);
        }
    }

    @Override
    void decode(ChannelHandlerContext ctx, ByteBuf unit) {
        switch (state) {
            case GREETING -> greeting(ctx, unit);
            case OPTION_REPLY -> optionReplyHeader(ctx, unit);
            case OPTION_REPLY_DATA -> {
                next(State.OPTION_REPLY, OPTION_REPLY_BYTES);
                ctx.fireChannelRead(optionReply(unit.readSlice(lengthBytes)));
            }
            case EXPORT_NAME_ANSWER -> {
                long sizeBytes = unit.readLong();
                int flags = unit.readUnsignedShort();
                unit.skipBytes(zeroes ? Nbd.EXPORT_NAME_ZEROES : 0);
                ctx.fireChannelRead(new NbdOptionReply.ExportNameAnswer(sizeBytes, flags, zeroes));
            }
            case REPLY_MAGIC -> replyMagic(unit.readInt());
            case EXTENDED_HEADER -> extendedHeader(ctx, unit);
            case SIMPLE_REST -> simpleReply(ctx, unit);
            case SIMPLE_DATA -> {
                expectReply();
                ctx.fireChannelRead(new NbdReply.SimpleData(cookie, unit.readRetainedSlice(lengthBytes)));
            }
            case CHUNK_REST -> chunkHeader(ctx, unit);
            case CHUNK_PAYLOAD -> {
                expectReply();
                ctx.fireChannelRead(NbdChunks.decode(type, cookie, done, unit, lengthBytes));
            }
        }
    }

    private void next(State next, int unitBytes) {
        state = next;
        expect(unitBytes);
    }

    private void greeting(ChannelHandlerContext ctx, ByteBuf unit) {
        long magic = unit.readLong();
        if (magic != Nbd.MAGIC) {
            throw NbdProtocolException.badMagic("the greeting", magic);
        }
        long style = unit.readLong();
        if (style != Nbd.OPTION_MAGIC) {
            throw NbdProtocolException.malformed("the server speaks the oldstyle handshake, which has no exports");
        }
        int flags = unit.readUnsignedShort();
        next(State.OPTION_REPLY, OPTION_REPLY_BYTES);
        ctx.fireChannelRead(new NbdGreeting((flags & Nbd.FLAG_FIXED_NEWSTYLE) != 0, (flags & Nbd.FLAG_NO_ZEROES) != 0));
    }

    private void optionReplyHeader(ChannelHandlerContext ctx, ByteBuf unit) {
        long magic = unit.readLong();
        if (magic != Nbd.OPTION_REPLY_MAGIC) {
            throw NbdProtocolException.badMagic("an option reply", magic);
        }
        option = unit.readInt();
        type = unit.readInt();
        long dataBytes = unit.readUnsignedInt();
        if (dataBytes > MAX_OPTION_REPLY_BYTES) {
            throw NbdProtocolException.tooLong("an option reply", dataBytes, MAX_OPTION_REPLY_BYTES);
        }
        lengthBytes = (int) dataBytes;
        if (lengthBytes == 0) {
            ctx.fireChannelRead(optionReply(Unpooled.EMPTY_BUFFER));
        } else {
            next(State.OPTION_REPLY_DATA, lengthBytes);
        }
    }

    private NbdOptionReply optionReply(ByteBuf data) {
        if (type < 0) {
            return new NbdOptionReply.Failure(option, type, NbdStrings.readLenient(data, data.readableBytes()));
        }
        return switch (type) {
            case Nbd.REP_ACK -> new NbdOptionReply.Ack(option);
            case Nbd.REP_SERVER -> server(data);
            case Nbd.REP_INFO -> information(data);
            case Nbd.REP_META_CONTEXT -> metaContext(data);
            default -> new NbdOptionReply.Unknown(option, type);
        };
    }

    private NbdOptionReply server(ByteBuf data) {
        if (data.readableBytes() < 4 || data.getUnsignedInt(data.readerIndex()) > data.readableBytes() - 4) {
            throw NbdProtocolException.malformed("an export in the list is shorter than its name");
        }
        String name = NbdStrings.readLenient(data, data.readInt());
        return new NbdOptionReply.Server(option, name, NbdStrings.readLenient(data, data.readableBytes()));
    }

    private NbdOptionReply metaContext(ByteBuf data) {
        if (data.readableBytes() < 4) {
            throw NbdProtocolException.malformed("a metadata context has no number");
        }
        int id = data.readInt();
        @Nullable String name = NbdStrings.read(data, data.readableBytes());
        if (name == null) {
            throw NbdProtocolException.malformed(
                    "a metadata context's name is longer than " + Nbd.MAX_STRING_BYTES + " bytes or not UTF-8");
        }
        return new NbdOptionReply.MetaContext(option, id, name);
    }

    private NbdOptionReply information(ByteBuf data) {
        if (data.readableBytes() < 2) {
            throw NbdProtocolException.malformed("an information reply has no type");
        }
        int information = data.readUnsignedShort();
        return switch (information) {
            case Nbd.INFO_EXPORT -> {
                requireLength(data, 10);
                yield new NbdOptionReply.Export(option, data.readLong(), data.readUnsignedShort());
            }
            case Nbd.INFO_BLOCK_SIZE -> {
                requireLength(data, 12);
                yield new NbdOptionReply.BlockSize(option, data.readInt(), data.readInt(), data.readInt());
            }
            case Nbd.INFO_NAME -> new NbdOptionReply.Name(option, NbdStrings.readLenient(data, data.readableBytes()));
            case Nbd.INFO_DESCRIPTION ->
                new NbdOptionReply.Description(option, NbdStrings.readLenient(data, data.readableBytes()));
            default -> new NbdOptionReply.Unknown(option, type);
        };
    }

    private static void requireLength(ByteBuf data, int bytes) {
        if (data.readableBytes() != bytes) {
            throw NbdProtocolException.malformed("an information reply has the wrong length");
        }
    }

    private void replyMagic(int magic) {
        if (magic == Nbd.SIMPLE_REPLY_MAGIC) {
            next(State.SIMPLE_REST, SIMPLE_REST_BYTES);
        } else if (magic == Nbd.STRUCTURED_REPLY_MAGIC && headers == NbdHeaders.STRUCTURED) {
            next(State.CHUNK_REST, CHUNK_REST_BYTES);
        } else {
            throw NbdProtocolException.badMagic("a reply", Integer.toUnsignedLong(magic));
        }
    }

    private void simpleReply(ChannelHandlerContext ctx, ByteBuf unit) {
        NbdError error = NbdError.of(unit.readInt());
        cookie = unit.readLong();
        int readBytes =
                error == NbdError.OK && pending.apply(cookie) instanceof NbdRequest.Read read ? read.lengthBytes() : 0;
        if (readBytes > 0) {
            lengthBytes = readBytes;
            next(State.SIMPLE_DATA, lengthBytes);
        } else {
            expectReply();
            ctx.fireChannelRead(new NbdReply.Simple(cookie, error));
        }
    }

    private void chunkHeader(ChannelHandlerContext ctx, ByteBuf unit) {
        done = (unit.readUnsignedShort() & Nbd.REPLY_FLAG_DONE) != 0;
        type = unit.readUnsignedShort();
        cookie = unit.readLong();
        expectPayload(ctx, unit.readUnsignedInt(), pending.apply(cookie));
    }

    private void extendedHeader(ChannelHandlerContext ctx, ByteBuf unit) {
        int magic = unit.readInt();
        if (magic != Nbd.EXTENDED_REPLY_MAGIC) {
            throw NbdProtocolException.badMagic("a reply", Integer.toUnsignedLong(magic));
        }
        done = (unit.readUnsignedShort() & Nbd.REPLY_FLAG_DONE) != 0;
        type = unit.readUnsignedShort();
        cookie = unit.readLong();
        long offset = unit.readLong();
        @Nullable NbdRequest request = pending.apply(cookie);
        if (request != null && request.offset() != offset) {
            throw NbdProtocolException.malformed("a reply has another offset than its request");
        }
        expectPayload(ctx, unit.readLong(), request);
    }

    private void expectPayload(ChannelHandlerContext ctx, long payloadBytes, @Nullable NbdRequest request) {
        NbdChunks.check(headers, type, done, payloadBytes, request);
        lengthBytes = (int) payloadBytes;
        if (lengthBytes == 0) {
            expectReply();
            ctx.fireChannelRead(new NbdReply.None(cookie));
        } else {
            next(State.CHUNK_PAYLOAD, lengthBytes);
        }
    }
}
