package io.vmft.kvm;

import java.io.IOException;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * A message from the library, as {@code vmft.h} lays it out: {@value #BYTES} bytes, little-endian.
 *
 * <pre>
 *  0        4        8                16       24              120     128
 *  ┌────────┬────────┬────────────────┬────────┬────────┬ … ┬────────┐
 *  │ type   │ arg    │ epoch          │ value0 │ value1 │   │ value13│
 *  └────────┴────────┴────────────────┴────────┴────────┴ … ┴────────┘
 * </pre>
 */
sealed interface LibraryMessage {
    int BYTES = 128;

    record Greeting(Hello hello) implements LibraryMessage {}

    record Filled(long epoch, int slot, long pageCount, long storedCount) implements LibraryMessage {}

    record Harvested(Harvest harvest, long pagemapPages, long kvmPages) implements LibraryMessage {}

    record Live(long sequence, long dirtyPages) implements LibraryMessage {}

    record Block(int number, long bytes) implements LibraryMessage {}

    record Frozen(long pages, boolean sends) implements LibraryMessage {}

    record Digested(long epoch, long count) implements LibraryMessage {}

    record PreCopied(long epoch) implements LibraryMessage {}

    record Failed(int errno, String text) implements LibraryMessage {}

    /** Reads {@value #BYTES} bytes. Checks what can be checked without the tracker's state. */
    static LibraryMessage decode(ByteBuffer source) throws IOException {
        ByteBuffer message = source.slice(source.position(), BYTES).order(ByteOrder.LITTLE_ENDIAN);
        source.position(source.position() + BYTES);
        int type = message.getInt(0);
        int arg = message.getInt(4);
        long epoch = message.getLong(8);
        return switch (type) {
            case 1 -> new Greeting(new Hello(arg, notNegative(message, 0)));
            case 3 -> new Filled(epoch, arg, notNegative(message, 0), notNegative(message, 1));
            case 4 ->
                new Harvested(harvest(message, epoch, bool(arg)), notNegative(message, 6), notNegative(message, 7));
            case 5 -> new Live(epoch, notNegative(message, 0));
            case 6 -> new Failed(arg, text(message));
            case 7 -> new Block(arg, notNegative(message, 0));
            case 8 -> new Frozen(notNegative(message, 0), notNegative(message, 1) != 0);
            case 9 -> new Digested(epoch, notNegative(message, 0));
            case 10 -> new PreCopied(epoch);
            default -> throw new ProtocolException("libvmft sent a message of unknown type " + type);
        };
    }

    private static Harvest harvest(ByteBuffer message, long epoch, boolean valid) throws ProtocolException {
        try {
            return new Harvest(
                    epoch,
                    valid,
                    notNegative(message, 0),
                    notNegative(message, 8),
                    notNegative(message, 1),
                    notNegative(message, 2),
                    notNegative(message, 3),
                    notNegative(message, 4),
                    notNegative(message, 5));
        } catch (IllegalArgumentException e) {
            throw new ProtocolException("libvmft reported " + e.getMessage());
        }
    }

    private static boolean bool(int arg) throws ProtocolException {
        if ((arg & ~1) != 0) {
            throw new ProtocolException("libvmft sent " + arg + " for a yes or no");
        }
        return arg == 1;
    }

    private static long notNegative(ByteBuffer message, int index) throws ProtocolException {
        long value = message.getLong(16 + 8 * index);
        if (value < 0) {
            throw new ProtocolException("libvmft sent " + Long.toUnsignedString(value) + " as value " + index
                    + " of a message of type " + message.getInt(0));
        }
        return value;
    }

    private static String text(ByteBuffer message) {
        byte[] bytes = new byte[BYTES - 16];
        message.get(16, bytes);
        int length = 0;
        while (length < bytes.length && bytes[length] != 0) {
            length++;
        }
        return new String(bytes, 0, length, StandardCharsets.UTF_8);
    }
}
