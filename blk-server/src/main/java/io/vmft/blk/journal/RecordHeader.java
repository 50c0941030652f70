package io.vmft.blk.journal;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * The 64 bytes before every record's payload, big-endian. Records begin at multiples of 64 bytes.
 *
 * <pre>
 *   0 | magic "VMJ1" (4)              | kind (1) | 0 (1) | header bytes = 64 (2) |
 *   8 | segment id                                                              |
 *  16 | sequence                                                                |
 *  24 | epoch                                                                   |
 *  32 | lane (4)                      | CRC32C of the payload (4)               |
 *  40 | offset in the volume                                                    |
 *  48 | length in the volume; the payload is as long for WRITE, absent otherwise |
 *  56 | 0 (4)                         | CRC32C of bytes 0 to 59 (4)             |
 * </pre>
 *
 * A SEAL has at 40 a version of the index that was durable when it was appended, and the length 0.
 *
 * <p>The segment id makes what a recycled file held before invalid.
 *
 * @param epoch the epoch open when it was written, for people and tools; the sequence number decides
 * @param lane which volume (or, for SEAL, which VM)
 */
public record RecordHeader(
        RecordKind kind,
        long segmentId,
        long sequence,
        long epoch,
        int lane,
        int payloadCrc,
        long offset,
        long lengthBytes) {
    /** Size of a header, and what records are aligned to. */
    public static final int BYTES = 64;

    private static final int MAGIC = 0x564D4A31;
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);
    private static final ValueLayout.OfShort SHORT = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.BIG_ENDIAN);

    public RecordHeader {
        if (offset < 0 || lengthBytes < 0 || sequence <= 0 || offset + lengthBytes < 0) {
            throw new IllegalArgumentException("record " + sequence + " at " + offset + "+" + lengthBytes);
        }
    }

    public long payloadBytes() {
        return kind == RecordKind.WRITE ? lengthBytes : 0;
    }

    /** What a record of this kind takes in a segment, up to where the next may begin. */
    static long journalBytes(long payloadBytes) {
        return BYTES + ((payloadBytes + BYTES - 1) & -BYTES);
    }

    /** What it takes in a segment. */
    public long journalBytes() {
        return journalBytes(payloadBytes());
    }

    void encode(MemorySegment target, long at) {
        target.set(INT, at, MAGIC);
        target.set(JAVA_BYTE, at + 4, kind.code());
        target.set(JAVA_BYTE, at + 5, (byte) 0);
        target.set(SHORT, at + 6, (short) BYTES);
        target.set(LONG, at + 8, segmentId);
        target.set(LONG, at + 16, sequence);
        target.set(LONG, at + 24, epoch);
        target.set(INT, at + 32, lane);
        target.set(INT, at + 36, payloadCrc);
        target.set(LONG, at + 40, offset);
        target.set(LONG, at + 48, lengthBytes);
        target.set(INT, at + 56, 0);
        target.set(INT, at + 60, crc(target.asByteBuffer(), (int) at));
    }

    /** Null if there is no valid header. */
    static @Nullable RecordHeader decode(MemorySegment source) {
        return decode(source.asByteBuffer().order(ByteOrder.BIG_ENDIAN), 0);
    }

    /** As the other, where many are read: {@code source} is big-endian. */
    static @Nullable RecordHeader decode(ByteBuffer source, int at) {
        if (source.getInt(at) != MAGIC) {
            return null;
        }
        RecordKind kind = RecordKind.of(source.get(at + 4));
        if (kind == null || source.getInt(at + 60) != crc(source, at)) {
            return null;
        }
        long sequence = source.getLong(at + 16);
        long offset = source.getLong(at + 40);
        long length = source.getLong(at + 48);
        if (sequence <= 0 || offset < 0 || length < 0 || offset + length < 0) {
            return null;
        }
        return new RecordHeader(
                kind,
                source.getLong(at + 8),
                sequence,
                source.getLong(at + 24),
                source.getInt(at + 32),
                source.getInt(at + 36),
                offset,
                length);
    }

    private static int crc(ByteBuffer header, int at) {
        CRC32C crc = new CRC32C();
        crc.update(header.slice(at, BYTES - 4));
        return (int) crc.getValue();
    }
}
