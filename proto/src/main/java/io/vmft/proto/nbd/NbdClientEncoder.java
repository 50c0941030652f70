package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import java.util.List;

/**
 * Encodes what a client says. Every method appends to a caller's buffer. The layouts are drawn at {@link NbdServerDecoder}.
 */
public final class NbdClientEncoder {
    private NbdClientEncoder() {}

    public static void clientFlags(ByteBuf out, NbdClientFlags flags) {
        out.writeInt(
                (flags.fixedNewstyle() ? Nbd.FLAG_FIXED_NEWSTYLE : 0) | (flags.noZeroes() ? Nbd.FLAG_NO_ZEROES : 0));
    }

    public static void option(ByteBuf out, NbdOption option) {
        switch (option) {
            case NbdOption.ExportName(String name) -> {
                byte[] bytes = NbdStrings.encode(name);
                header(out, option, bytes.length);
                out.writeBytes(bytes);
            }
            case NbdOption.Describe(String name, List<Integer> requests) -> infoOrGo(out, option, name, requests);
            case NbdOption.Go(String name, List<Integer> requests) -> infoOrGo(out, option, name, requests);
            case NbdOption.Abort _, NbdOption.ListExports _, NbdOption.StructuredReply _, NbdOption.Unknown _ ->
                header(out, option, 0);
            case NbdOption.Malformed malformed -> throw new IllegalArgumentException("not for sending: " + malformed);
        }
    }

    private static void header(ByteBuf out, NbdOption option, int dataBytes) {
        out.writeLong(Nbd.OPTION_MAGIC).writeInt(option.code()).writeInt(dataBytes);
    }

    private static void infoOrGo(ByteBuf out, NbdOption option, String name, List<Integer> requests) {
        byte[] bytes = NbdStrings.encode(name);
        header(out, option, 6 + bytes.length + 2 * requests.size());
        out.writeInt(bytes.length).writeBytes(bytes).writeShort(requests.size());
        requests.forEach(out::writeShort);
    }

    /** A request; a write's data is left to the caller to send behind it and keeps its reader index. */
    public static void request(ByteBuf out, NbdRequest request) {
        switch (request) {
            case NbdRequest.Read(long cookie, long offset, int lengthBytes, boolean noFragment) ->
                request(out, noFragment ? Nbd.CMD_FLAG_DF : 0, Nbd.CMD_READ, cookie, offset, lengthBytes);
            case NbdRequest.Write(long cookie, long offset, ByteBuf data, boolean fua, long remainingBytes) ->
                request(out, fua(fua), Nbd.CMD_WRITE, cookie, offset, data.readableBytes() + remainingBytes);
            case NbdRequest.Flush(long cookie) -> request(out, 0, Nbd.CMD_FLUSH, cookie, 0, 0);
            case NbdRequest.Trim(long cookie, long offset, long lengthBytes, boolean fua) ->
                request(out, fua(fua), Nbd.CMD_TRIM, cookie, offset, lengthBytes);
            case NbdRequest.WriteZeroes(long cookie, long offset, long lengthBytes, boolean noHole, boolean fua) -> {
                int flags = fua(fua) | (noHole ? Nbd.CMD_FLAG_NO_HOLE : 0);
                request(out, flags, Nbd.CMD_WRITE_ZEROES, cookie, offset, lengthBytes);
            }
            case NbdRequest.Cache(long cookie, long offset, long lengthBytes) ->
                request(out, 0, Nbd.CMD_CACHE, cookie, offset, lengthBytes);
            case NbdRequest.Disconnect(long cookie) -> request(out, 0, Nbd.CMD_DISC, cookie, 0, 0);
            case NbdRequest.Refused refused -> throw new IllegalArgumentException("not for sending: " + refused);
        }
    }

    private static int fua(boolean fua) {
        return fua ? Nbd.CMD_FLAG_FUA : 0;
    }

    private static void request(ByteBuf out, int flags, int command, long cookie, long offset, long lengthBytes) {
        if (lengthBytes < 0 || lengthBytes > 0xffff_ffffL) {
            throw new IllegalArgumentException("a request cannot cover " + lengthBytes + " bytes");
        }
        out.writeInt(Nbd.REQUEST_MAGIC)
                .writeShort(flags)
                .writeShort(command)
                .writeLong(cookie)
                .writeLong(offset)
                .writeInt((int) lengthBytes);
    }
}
