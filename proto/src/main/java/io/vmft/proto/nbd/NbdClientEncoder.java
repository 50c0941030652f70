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
            case NbdOption.ListMetaContexts(String name, List<String> queries) ->
                metaContexts(out, option, name, queries);
            case NbdOption.SetMetaContexts(String name, List<String> queries) ->
                metaContexts(out, option, name, queries);
            case NbdOption.Abort _,
                    NbdOption.ListExports _,
                    NbdOption.StartTls _,
                    NbdOption.StructuredReply _,
                    NbdOption.ExtendedHeaders _,
                    NbdOption.Unknown _ -> header(out, option, 0);
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

    private static void metaContexts(ByteBuf out, NbdOption option, String name, List<String> queries) {
        byte[] bytes = NbdStrings.encode(name);
        List<byte[]> encoded = queries.stream().map(NbdStrings::encode).toList();
        header(
                out,
                option,
                8
                        + bytes.length
                        + encoded.stream().mapToInt(query -> 4 + query.length).sum());
        out.writeInt(bytes.length).writeBytes(bytes).writeInt(encoded.size());
        encoded.forEach(query -> out.writeInt(query.length).writeBytes(query));
    }

    /**
     * A request; a write's data is left to the caller to send behind it and keeps its reader index.
     *
     * @throws IllegalArgumentException if its length does not fit in 32 bits and headers are not extended
     */
    public static void request(ByteBuf out, NbdHeaders headers, NbdRequest request) {
        switch (request) {
            case NbdRequest.Read(long _, long _, int lengthBytes, boolean noFragment) ->
                request(out, headers, request, noFragment ? Nbd.CMD_FLAG_DF : 0, Nbd.CMD_READ, lengthBytes);
            case NbdRequest.Write(long _, long _, ByteBuf data, boolean fua, long remainingBytes) -> {
                int flags = fua(fua) | (headers == NbdHeaders.EXTENDED ? Nbd.CMD_FLAG_PAYLOAD_LEN : 0);
                request(out, headers, request, flags, Nbd.CMD_WRITE, data.readableBytes() + remainingBytes);
            }
            case NbdRequest.Flush _ -> request(out, headers, request, 0, Nbd.CMD_FLUSH, 0);
            case NbdRequest.Trim(long _, long _, long lengthBytes, boolean fua) ->
                request(out, headers, request, fua(fua), Nbd.CMD_TRIM, lengthBytes);
            case NbdRequest.WriteZeroes(
                    long _,
                    long _,
                    long lengthBytes,
                    boolean noHole,
                    boolean fast,
                    boolean fua) -> {
                int flags = fua(fua) | (noHole ? Nbd.CMD_FLAG_NO_HOLE : 0) | (fast ? Nbd.CMD_FLAG_FAST_ZERO : 0);
                request(out, headers, request, flags, Nbd.CMD_WRITE_ZEROES, lengthBytes);
            }
            case NbdRequest.Cache(long _, long _, long lengthBytes) ->
                request(out, headers, request, 0, Nbd.CMD_CACHE, lengthBytes);
            case NbdRequest.BlockStatus(long _, long _, long lengthBytes, boolean one) ->
                request(out, headers, request, one ? Nbd.CMD_FLAG_REQ_ONE : 0, Nbd.CMD_BLOCK_STATUS, lengthBytes);
            case NbdRequest.Disconnect _ -> request(out, headers, request, 0, Nbd.CMD_DISC, 0);
            case NbdRequest.Refused refused -> throw new IllegalArgumentException("not for sending: " + refused);
        }
    }

    private static int fua(boolean fua) {
        return fua ? Nbd.CMD_FLAG_FUA : 0;
    }

    private static void request(
            ByteBuf out, NbdHeaders headers, NbdRequest request, int flags, int command, long lengthBytes) {
        boolean extended = headers == NbdHeaders.EXTENDED;
        if (lengthBytes < 0 || (!extended && lengthBytes > 0xffff_ffffL)) {
            throw new IllegalArgumentException("a request cannot cover " + lengthBytes + " bytes");
        }
        out.writeInt(extended ? Nbd.EXTENDED_REQUEST_MAGIC : Nbd.REQUEST_MAGIC)
                .writeShort(flags)
                .writeShort(command)
                .writeLong(request.cookie())
                .writeLong(request.offset());
        if (extended) {
            out.writeLong(lengthBytes);
        } else {
            out.writeInt((int) lengthBytes);
        }
    }
}
