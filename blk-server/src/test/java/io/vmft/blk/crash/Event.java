package io.vmft.blk.crash;

import com.google.protobuf.InvalidProtocolBufferException;
import io.vmft.proto.blk.v1.ArbiterRecord;
import java.util.HexFormat;
import java.util.Locale;

/**
 * Something a client asked a server and was answered. It had no effect before the trace was as long as {@code begin}, and all its effect
 * when it was as long as {@code end}.
 */
sealed interface Event {
    long begin();

    long end();

    /** A change of a volume. */
    record Change(String volume, long begin, long end, Kind kind, int id, int offset, int length, boolean fua)
            implements Event {
        enum Kind {
            WRITE,
            TRIM,
            ZERO
        }

        /** What it leaves in its range: each eight bytes say which change it was, and where. */
        byte[] bytes() {
            byte[] bytes = new byte[length];
            for (int i = 0; kind == Kind.WRITE && i < length; i++) {
                int at = offset + i;
                long word = ((long) id << 32) | (at >>> 3);
                bytes[i] = (byte) (word >>> (8 * (at & 7)));
            }
            return bytes;
        }
    }

    record Flush(String volume, long begin, long end) implements Event {}

    record Seal(long begin, long end, long epoch) implements Event {}

    record Commit(long begin, long end, long epoch) implements Event {}

    /** A change of who may run the VM, and the record it led to. */
    record Control(long begin, long end, Call call, ArbiterRecord record) implements Event {
        enum Call {
            OPEN,
            BEGIN_PROTECT,
            GO_SOLO,
            TAKE_OVER,
            CLOSE
        }
    }

    /** The volume has this size. */
    record Size(String volume, long begin, long end, long bytes) implements Event {}

    /** One line. */
    default String text() {
        String what = switch (this) {
            case Change change ->
                "change %s %s %d %d %d %b"
                        .formatted(change.volume, change.kind, change.id, change.offset, change.length, change.fua);
            case Flush flush -> "flush " + flush.volume;
            case Seal seal -> "seal " + seal.epoch;
            case Commit commit -> "commit " + commit.epoch;
            case Control control ->
                "control " + control.call + " " + HexFormat.of().formatHex(control.record.toByteArray());
            case Size size -> "size " + size.volume + " " + size.bytes;
        };
        return String.format(Locale.ROOT, "%d %d %s", begin(), end(), what);
    }

    /** What {@link #text} made. */
    static Event parse(String line) {
        String[] words = line.split(" ", -1);
        long begin = Long.parseLong(words[0]);
        long end = Long.parseLong(words[1]);
        return switch (words[2]) {
            case "change" ->
                new Change(
                        words[3],
                        begin,
                        end,
                        Change.Kind.valueOf(words[4]),
                        Integer.parseInt(words[5]),
                        Integer.parseInt(words[6]),
                        Integer.parseInt(words[7]),
                        Boolean.parseBoolean(words[8]));
            case "flush" -> new Flush(words[3], begin, end);
            case "seal" -> new Seal(begin, end, Long.parseLong(words[3]));
            case "commit" -> new Commit(begin, end, Long.parseLong(words[3]));
            case "control" -> new Control(begin, end, Control.Call.valueOf(words[3]), record(words[4]));
            case "size" -> new Size(words[3], begin, end, Long.parseLong(words[4]));
            default -> throw new IllegalArgumentException(line);
        };
    }

    private static ArbiterRecord record(String hex) {
        try {
            return ArbiterRecord.parseFrom(HexFormat.of().parseHex(hex));
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalArgumentException(hex, e);
        }
    }

    /** Which change left the eight bytes around {@code at}. */
    static String wordAt(byte[] content, int at) {
        int from = at / 8 * 8;
        long word = 0;
        for (int i = Math.min(7, content.length - 1 - from); i >= 0; i--) {
            word = (word << 8) | (content[from + i] & 0xff);
        }
        return word == 0
                ? "zeroes"
                : String.format(Locale.ROOT, "%016x (change %d, byte %d)", word, word >>> 32, (word & 0xffffffffL) * 8);
    }
}
