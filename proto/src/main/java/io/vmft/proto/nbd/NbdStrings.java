package io.vmft.proto.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import java.nio.charset.StandardCharsets;
import org.jspecify.annotations.Nullable;

/** Strings as the protocol has them: UTF-8 without zero bytes, at most {@link Nbd#MAX_STRING_BYTES} long. */
final class NbdStrings {
    private NbdStrings() {}

    /** Takes a string, or null if the bytes are none; they are taken all the same. */
    static @Nullable String read(ByteBuf in, int lengthBytes) {
        ByteBuf bytes = in.readSlice(lengthBytes);
        if (lengthBytes > Nbd.MAX_STRING_BYTES
                || bytes.indexOf(bytes.readerIndex(), bytes.writerIndex(), (byte) 0) >= 0
                || !ByteBufUtil.isText(bytes, StandardCharsets.UTF_8)) {
            return null;
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    /** Takes a message meant for people: what is no UTF-8 is replaced, what is too long cut. */
    static String readLenient(ByteBuf in, int lengthBytes) {
        ByteBuf bytes = in.readSlice(lengthBytes);
        return bytes.toString(bytes.readerIndex(), Math.min(lengthBytes, Nbd.MAX_STRING_BYTES), StandardCharsets.UTF_8);
    }

    /** The bytes of {@code text}, cut at a character where they would be too long. */
    static byte[] encode(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        if (bytes.length <= Nbd.MAX_STRING_BYTES) {
            return bytes;
        }
        int end = Nbd.MAX_STRING_BYTES;
        while ((bytes[end] & 0xc0) == 0x80) {
            end--;
        }
        return java.util.Arrays.copyOf(bytes, end);
    }
}
