package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import java.util.stream.IntStream;

/** Feeds literal bytes to a decoder, whole, at every split, and one by one. */
final class Wire {
    private Wire() {}

    /** Bytes from hexadecimal digits; spaces are for the reader. {@code 'text'} stands for its ASCII bytes. */
    static byte[] bytes(String... parts) {
        ByteBuf out = Unpooled.buffer();
        for (String part : parts) {
            if (part.startsWith("'")) {
                out.writeBytes(part.substring(1, part.length() - 1).getBytes(StandardCharsets.UTF_8));
            } else {
                out.writeBytes(HexFormat.of().parseHex(part.replace(" ", "")));
            }
        }
        byte[] bytes = new byte[out.readableBytes()];
        out.readBytes(bytes);
        return bytes;
    }

    static byte[] bytes(ByteBuf buffer) {
        byte[] bytes = new byte[buffer.readableBytes()];
        buffer.readBytes(bytes);
        buffer.release();
        return bytes;
    }

    /**
     * What a fresh decoder makes of {@code bytes}, cut into pieces.
     *
     * @param onMessage what the receiver does at each message, as starting the transmission phase
     */
    static <D extends NbdUnitDecoder> List<String> decode(
            Supplier<D> decoders, BiConsumer<D, Object> onMessage, byte[] bytes, int... cuts) {
        D decoder = decoders.get();
        List<String> messages = new ArrayList<>();
        EmbeddedChannel channel = new EmbeddedChannel(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                messages.add(describe(message));
                onMessage.accept(decoder, message);
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                messages.add(cause.getClass().getSimpleName() + ": " + cause.getMessage());
            }
        });
        int start = 0;
        for (int cut : cuts) {
            channel.writeInbound(piece(bytes, start, cut));
            start = cut;
        }
        channel.writeInbound(piece(bytes, start, bytes.length));
        channel.finishAndReleaseAll();
        return messages;
    }

    private static ByteBuf piece(byte[] bytes, int from, int to) {
        return Unpooled.buffer(to - from).writeBytes(bytes, from, to - from);
    }

    /** As a string, because buffers are released at once; that also finds a buffer released too early. */
    static String describe(Object message) {
        String text = String.valueOf(message);
        ByteBuf data = switch (message) {
            case NbdRequest.Write write -> write.data();
            case NbdReply.Data reply -> reply.data();
            case NbdReply.SimpleData reply -> reply.data();
            default -> null;
        };
        if (data == null) {
            return text;
        }
        String described = text.replace(data.toString(), HexFormat.of().formatHex(ByteBufUtil.getBytes(data)));
        data.release();
        return described;
    }

    /** Asserts by the caller's function that every way to cut the bytes in two, and into single bytes, gives the same. */
    static <D extends NbdUnitDecoder> List<String> decodeAtEverySplit(
            Supplier<D> decoders, BiConsumer<D, Object> onMessage, byte[] bytes) {
        List<String> whole = decode(decoders, onMessage, bytes);
        for (int cut = 1; cut < bytes.length; cut++) {
            List<String> split = decode(decoders, onMessage, bytes, cut);
            if (!split.equals(whole)) {
                throw new AssertionError("cut at " + cut + ": " + split + " instead of " + whole);
            }
        }
        int[] everywhere = IntStream.range(1, bytes.length).toArray();
        List<String> single = decode(decoders, onMessage, bytes, everywhere);
        if (!single.equals(whole)) {
            throw new AssertionError("byte by byte: " + single + " instead of " + whole);
        }
        return whole;
    }
}
