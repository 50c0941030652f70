package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.vmft.proto.nbd.NbdClientDecoder;
import io.vmft.proto.nbd.NbdGreeting;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdOptionReply;
import io.vmft.proto.nbd.NbdProtocolException;
import io.vmft.proto.nbd.NbdReply;
import io.vmft.proto.nbd.NbdRequest;
import org.jspecify.annotations.Nullable;

/**
 * What a client reads of a server that may be hostile; called by a coverage-guided fuzzer.
 *
 * <pre>
 *  input  mode:8 split:8 bytes from the server
 *  mode   0, 1, 2: simple, structured, extended headers   4: the export was chosen by name   8: with zeroes after the answer
 *  split  how the bytes are cut into what single reads of the socket return; 0: not at all
 * </pre>
 *
 * The low bits of a cookie say what the client waits for.
 */
public final class HostileServerFuzzer {
    private static final int BY_NAME = 4;
    private static final int ZEROES = 8;
    private static final int CONTROL_BYTES = 2;
    /** The longest read the client waits for. */
    private static final int MAX_READ_BYTES = 64 << 10;

    private static final long MAX_BUFFER_BYTES = 2 << 20;

    private HostileServerFuzzer() {}

    /** What the fuzzer calls. */
    public static void fuzzerTestOneInput(byte[] input) throws Exception {
        if (input.length < CONTROL_BYTES) {
            return;
        }
        FuzzChannel channel = new FuzzChannel(_ -> {}, MAX_BUFFER_BYTES);
        NbdClientDecoder decoder = new NbdClientDecoder();
        Client client = new Client(decoder, input[0]);
        channel.pipeline().addLast(decoder).addLast(client);
        channel.register();
        int split = Byte.toUnsignedInt(input[1]);
        int chunkBytes = split == 0 ? input.length : split;
        for (int at = CONTROL_BYTES; at < input.length && channel.isOpen(); at += chunkBytes) {
            ByteBuf chunk = channel.alloc().directBuffer();
            chunk.writeBytes(input, at, Math.min(chunkBytes, input.length - at));
            channel.pipeline().fireChannelRead(chunk);
            channel.runPendingTasks();
        }
        channel.close();
        channel.runPendingTasks();
        channel.checkException();
        if (channel.usedBytes() != 0) {
            throw new AssertionError(channel.usedBytes() + " bytes of buffers are not released");
        }
    }

    private static final class Client extends ChannelInboundHandlerAdapter {
        private final NbdClientDecoder decoder;
        private final int mode;

        Client(NbdClientDecoder decoder, int mode) {
            this.decoder = decoder;
            this.mode = mode;
        }

        @Override
        public void channelRead(ChannelHandlerContext ctx, Object message) {
            switch (message) {
                case NbdGreeting _ -> {
                    if ((mode & BY_NAME) != 0) {
                        decoder.expectExportNameAnswer((mode & ZEROES) != 0);
                    }
                }
                case NbdOptionReply.Ack _, NbdOptionReply.ExportNameAnswer _ ->
                    decoder.startTransmission(headers(), Client::pending);
                case NbdOptionReply _ -> {}
                case NbdReply.SimpleData reply -> take(pending(reply.cookie()), reply.data());
                case NbdReply.Data reply -> take(pending(reply.cookie()), reply.data());
                case NbdReply.BlockStatus reply -> {
                    long total = 0;
                    for (var extent : reply.extents()) {
                        total += extent.lengthBytes();
                        check(extent.lengthBytes() > 0 && total > 0, "extents of no length");
                    }
                }
                case NbdReply _ -> {}
                default -> throw new AssertionError("an unknown message: " + message);
            }
        }

        private NbdHeaders headers() {
            return switch (mode & 3) {
                case 1 -> NbdHeaders.STRUCTURED;
                case 2, 3 -> NbdHeaders.EXTENDED;
                default -> NbdHeaders.SIMPLE;
            };
        }

        private static void take(@Nullable NbdRequest request, ByteBuf data) {
            int bytes = data.readableBytes();
            data.release();
            check(request instanceof NbdRequest.Read, "data for no read");
            check(bytes > 0 && bytes <= MAX_READ_BYTES, bytes + " bytes of data");
        }

        private static @Nullable NbdRequest pending(long cookie) {
            long bytes = cookie >>> 8 & MAX_READ_BYTES - 1;
            return switch ((int) cookie & 7) {
                case 1, 2 -> new NbdRequest.Read(cookie, 0, (int) bytes, false);
                case 3 -> new NbdRequest.Read(cookie, 0, (int) bytes, true);
                case 4 -> new NbdRequest.Write(cookie, 0, Unpooled.EMPTY_BUFFER, false);
                case 5 -> new NbdRequest.BlockStatus(cookie, 0, bytes, false);
                case 6 -> new NbdRequest.BlockStatus(cookie, 0, bytes, true);
                case 7 -> new NbdRequest.Flush(cookie);
                default -> null;
            };
        }

        private static void check(boolean holds, String what) {
            if (!holds) {
                throw new AssertionError("the decoder let through " + what);
            }
        }

        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            if (cause instanceof NbdProtocolException) {
                ctx.close();
            } else {
                ctx.fireExceptionCaught(cause);
            }
        }
    }
}
