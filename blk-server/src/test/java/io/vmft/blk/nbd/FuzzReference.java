package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.proto.nbd.Nbd;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * What a server must say to a stream of bytes, told from the specification and not from the server's code: every option is answered once,
 * then every request; a volume holds what the accepted requests say. It reads what the client sent, all of it known from the
 * beginning, and what the server answers, as it comes.
 */
final class FuzzReference {
    private static final long EXTENDED_REQUEST = 0x21e41c71;
    private static final int EXTENDED_REPLY = 0x6e8a278c;
    private static final int MAX_REPLY_BYTES = 64 << 10;

    private enum Phase {
        GREETING,
        OPTIONS,
        TRANSMISSION
    }

    /** A complete request. */
    private static final class Asked {
        final int command;
        final long offset;
        final long lengthBytes;
        /** Whether it must succeed; null: either may be right. */
        final @Nullable Boolean succeeds;
        /** Checksum of the data a read must return. */
        final long crc;

        final byte[] data;
        long dataBytes;
        boolean answered;

        Asked(int command, long offset, long lengthBytes, @Nullable Boolean succeeds, long crc) {
            this.command = command;
            this.offset = offset;
            this.lengthBytes = lengthBytes;
            this.succeeds = succeeds;
            this.crc = crc;
            this.data = command == Nbd.CMD_READ && Boolean.TRUE.equals(succeeds)
                    ? new byte[(int) lengthBytes]
                    : new byte[0];
        }
    }

    private final ByteBuffer sent;
    private final boolean readOnly;
    private final boolean failing;
    /** What the volume must hold once every request was carried out in order. */
    final byte[] model = new byte[FuzzView.SIZE_BYTES];

    private final ByteBuf said = Unpooled.buffer();
    private final Map<Long, Asked> byCookie = new HashMap<>();
    private final List<Asked> asked = new ArrayList<>();
    private Phase phase = Phase.GREETING;
    private boolean zeroes = true;
    private boolean structured;
    private boolean extended;
    /** Two requests share a cookie: their replies cannot be told apart. */
    private boolean ambiguous;
    /** The client left, or broke the protocol: what follows does not count, and the connection ends. */
    private boolean over;
    /** The input ends within a request. */
    private boolean incomplete;

    FuzzReference(byte[] client, int from, boolean readOnly, boolean failing) {
        this.sent = ByteBuffer.wrap(client, from, client.length - from).slice();
        this.readOnly = readOnly;
        this.failing = failing;
        for (int i = 0; i < model.length; i++) {
            model[i] = FuzzView.initial(i);
        }
    }

    /** Takes what the server says next. */
    void take(ByteBuf bytes) {
        said.discardReadBytes();
        said.writeBytes(bytes, bytes.readerIndex(), bytes.readableBytes());
        while (step()) {}
    }

    /**
     * The server has done all it will do.
     *
     * @param open whether the connection is
     */
    void end(boolean open) {
        check(!said.isReadable() || ambiguous, "half a reply");
        check(!open || !over, "the client left and is still connected");
        if (open && !ambiguous) {
            asked.forEach(
                    request -> check(request.answered, "a request without an answer: command " + request.command));
        }
    }

    /** Whether the client has chosen an export. */
    boolean transmits() {
        return phase == Phase.TRANSMISSION;
    }

    int answers() {
        return (int) asked.stream().filter(request -> request.answered).count();
    }

    private boolean step() {
        return switch (phase) {
            case GREETING -> greeting();
            case OPTIONS -> optionReply();
            case TRANSMISSION -> !ambiguous && reply();
        };
    }

    private boolean greeting() {
        if (said.readableBytes() < 18) {
            return false;
        }
        check(said.readLong() == Nbd.MAGIC && said.readLong() == Nbd.OPTION_MAGIC, "the greeting");
        said.readShort();
        phase = Phase.OPTIONS;
        if (sent.remaining() >= 4) {
            int flags = sent.getInt();
            zeroes = (flags & 2) == 0;
            over = (flags & ~3) != 0;
        }
        return true;
    }

    /** An answer to the option the client sent next. */
    private boolean optionReply() {
        if (!said.isReadable()) {
            return false;
        }
        check(!over, "an answer to nothing");
        check(sent.remaining() >= 16 && sent.getLong(sent.position()) == Nbd.OPTION_MAGIC, "an answer to no option");
        int option = sent.getInt(sent.position() + 8);
        long dataBytes = Integer.toUnsignedLong(sent.getInt(sent.position() + 12));
        if (option == Nbd.OPT_EXPORT_NAME) {
            int bytes = zeroes ? 134 : 10;
            if (said.readableBytes() < bytes) {
                return false;
            }
            check(said.readLong() == FuzzView.SIZE_BYTES, "size");
            said.skipBytes(bytes - 8);
            next(dataBytes);
            begin();
            return true;
        }
        if (said.readableBytes() < 20) {
            return false;
        }
        int length = said.getInt(said.readerIndex() + 16);
        check(length >= 0 && length <= MAX_REPLY_BYTES, "an option reply of " + length + " bytes");
        if (said.readableBytes() < 20 + length) {
            return false;
        }
        check(said.readLong() == Nbd.OPTION_REPLY_MAGIC && said.readInt() == option, "an answer to another option");
        int type = said.readInt();
        said.skipBytes(4 + length);
        if (type == Nbd.REP_ACK || type < 0) {
            next(dataBytes);
            answered(option, type == Nbd.REP_ACK);
        }
        return true;
    }

    private void next(long dataBytes) {
        sent.position((int) Math.min(sent.limit(), sent.position() + 16 + dataBytes));
    }

    private void answered(int option, boolean acknowledged) {
        switch (option) {
            case Nbd.OPT_STRUCTURED_REPLY -> structured |= acknowledged;
            case Nbd.OPT_EXTENDED_HEADERS -> extended |= acknowledged;
            case Nbd.OPT_ABORT -> over = true;
            case Nbd.OPT_GO -> {
                if (acknowledged) {
                    begin();
                }
            }
            default -> {}
        }
    }

    /** Reads every complete request that follows, and carries it out on the model. */
    private void begin() {
        phase = Phase.TRANSMISSION;
        int headerBytes = extended ? 32 : 28;
        while (!over && !incomplete && sent.remaining() >= headerBytes) {
            if (Integer.toUnsignedLong(sent.getInt()) != (extended ? EXTENDED_REQUEST : Nbd.REQUEST_MAGIC)) {
                over = true;
                return;
            }
            int flags = Short.toUnsignedInt(sent.getShort());
            int command = Short.toUnsignedInt(sent.getShort());
            long cookie = sent.getLong();
            long offset = sent.getLong();
            long length = extended ? sent.getLong() : Integer.toUnsignedLong(sent.getInt());
            if (command == Nbd.CMD_DISC) {
                over = true;
                return;
            }
            request(flags, command, cookie, offset, length);
        }
    }

    private void request(int flags, int command, long cookie, long offset, long length) {
        boolean payload = command == Nbd.CMD_WRITE || (extended && (flags & Nbd.CMD_FLAG_PAYLOAD_LEN) != 0);
        boolean tooLong = Long.compareUnsigned(length, Nbd.MAX_PAYLOAD_BYTES) > 0;
        if (payload && tooLong && extended) {
            over = true;
            return;
        }
        boolean valid = isAllowed(flags, command) && isInside(offset, length);
        byte[] data = new byte[0];
        if (payload) {
            if (length > sent.remaining()) {
                incomplete = true;
                ambiguous |= !valid || tooLong; // refused at once or when its data has come: either is right
                return;
            }
            data = new byte[(int) length];
            sent.get(data);
        }
        boolean bad = failing && FuzzView.isBad(offset);
        Boolean succeeds = switch (command) {
            case Nbd.CMD_READ -> valid && !tooLong && !payload && (!bad || length == 0);
            case Nbd.CMD_WRITE -> valid && !tooLong && payload && !readOnly && !bad;
            case Nbd.CMD_TRIM -> valid && !payload && !readOnly && !bad;
            case Nbd.CMD_FLUSH -> isAllowed(flags, command) && !payload && offset == 0 && length == 0;
            default -> null;
        };
        if (command == Nbd.CMD_WRITE_ZEROES) {
            succeeds = valid && !payload && !readOnly && !bad;
        }
        long crc = 0;
        if (Boolean.TRUE.equals(succeeds)) {
            int at = (int) offset;
            switch (command) {
                case Nbd.CMD_READ -> crc = crc(Arrays.copyOfRange(model, at, at + (int) length));
                case Nbd.CMD_WRITE -> System.arraycopy(data, 0, model, at, data.length);
                case Nbd.CMD_TRIM, Nbd.CMD_WRITE_ZEROES -> Arrays.fill(model, at, at + (int) length, (byte) 0);
                default -> {}
            }
        }
        Asked request = new Asked(command, offset, length, succeeds, crc);
        asked.add(request);
        ambiguous |= byCookie.put(cookie, request) != null;
    }

    private boolean isAllowed(int flags, int command) {
        int own = switch (command) {
            case Nbd.CMD_READ -> structured || extended ? Nbd.CMD_FLAG_DF : 0;
            case Nbd.CMD_WRITE -> extended ? Nbd.CMD_FLAG_PAYLOAD_LEN : 0;
            case Nbd.CMD_WRITE_ZEROES -> Nbd.CMD_FLAG_NO_HOLE | Nbd.CMD_FLAG_FAST_ZERO;
            default -> 0;
        };
        return (flags & ~(own | Nbd.CMD_FLAG_FUA)) == 0;
    }

    private static boolean isInside(long offset, long length) {
        return offset >= 0 && length >= 0 && offset <= FuzzView.SIZE_BYTES && length <= FuzzView.SIZE_BYTES - offset;
    }

    private static long crc(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return crc.getValue();
    }

    private boolean reply() {
        if (said.readableBytes() < 4) {
            return false;
        }
        int magic = said.getInt(said.readerIndex());
        if (magic == Nbd.SIMPLE_REPLY_MAGIC) {
            check(!extended, "a simple reply under extended headers");
            return simpleReply();
        }
        check(
                magic == (extended ? EXTENDED_REPLY : Nbd.STRUCTURED_REPLY_MAGIC) && (structured || extended),
                "a reply's magic");
        return chunk(extended ? 32 : 20);
    }

    private boolean simpleReply() {
        if (said.readableBytes() < 16) {
            return false;
        }
        int error = said.getInt(said.readerIndex() + 4);
        Asked request = find(said.getLong(said.readerIndex() + 8));
        int dataBytes = request.command == Nbd.CMD_READ && error == 0 ? (int) request.lengthBytes : 0;
        if (said.readableBytes() < 16 + dataBytes) {
            return false;
        }
        check(request.command != Nbd.CMD_READ || !structured, "a simple reply to a read");
        said.skipBytes(16);
        data(request, request.offset, dataBytes);
        done(request, error == 0);
        return true;
    }

    private boolean chunk(int headerBytes) {
        if (said.readableBytes() < headerBytes) {
            return false;
        }
        int at = said.readerIndex();
        long length = extended ? said.getLong(at + 24) : said.getUnsignedInt(at + 16);
        check(length >= 0 && length <= MAX_REPLY_BYTES, "a chunk of " + length + " bytes");
        if (said.readableBytes() < headerBytes + length) {
            return false;
        }
        boolean last = (said.getUnsignedShort(at + 4) & Nbd.REPLY_FLAG_DONE) != 0;
        int type = said.getUnsignedShort(at + 6);
        Asked request = find(said.getLong(at + 8));
        said.skipBytes(headerBytes);
        int end = said.readerIndex() + (int) length;
        boolean failed = (type & 1 << 15) != 0;
        if (type == Nbd.REPLY_TYPE_OFFSET_DATA) {
            check(request.command == Nbd.CMD_READ && length > 8, "data for no read");
            data(request, said.readLong(), (int) length - 8);
        }
        said.readerIndex(end);
        if (last) {
            done(request, !failed);
        } else {
            check(!failed, "an error that is not the last chunk");
        }
        return true;
    }

    private Asked find(long cookie) {
        Asked request = byCookie.get(cookie);
        if (request == null || request.answered) {
            throw new AssertionError("an answer to nothing: cookie " + cookie);
        }
        return request;
    }

    private void data(Asked request, long offset, int bytes) {
        if (bytes > 0) {
            long from = offset - request.offset;
            check(from >= 0 && from + bytes <= request.data.length, "data that was not asked for");
            said.readBytes(request.data, (int) from, bytes);
            request.dataBytes += bytes;
        }
    }

    private void done(Asked request, boolean success) {
        request.answered = true;
        if (request.succeeds != null) {
            check(
                    success == request.succeeds,
                    "command " + request.command + " at " + request.offset + " of " + request.lengthBytes
                            + (success ? " succeeded" : " failed"));
        }
        if (success && request.command == Nbd.CMD_READ) {
            check(request.dataBytes == request.lengthBytes, "a read without all its data");
        }
    }

    /** Whether every read returned what the model held when it was asked; true only if requests were carried out in order. */
    void checkReads() {
        for (Asked request : asked) {
            if (request.command == Nbd.CMD_READ && request.answered && Boolean.TRUE.equals(request.succeeds)) {
                check(crc(request.data) == request.crc, "a read at " + request.offset + " returned other data");
            }
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError("the server's answer: " + what);
        }
    }
}
