package io.vmft.blk.journal;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.function.LongConsumer;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/**
 * Reads one segment from its beginning. It ends at the first record that is not valid if nothing valid follows (there the writer
 * stopped, or was killed in the middle of an append); if something does, or more is known to have been written, that is damage.
 */
final class SegmentScanner {
    /** Holds the longest record. */
    private static final int WINDOW_BYTES = 8 << 20;

    private final Segment segment;
    private final SegmentEntry entry;
    /** The newest record that must be here. */
    private final long knownThrough;

    private final SegmentSink sink;
    private final LongConsumer beforeRead;
    private final MemorySegment window;
    /** The window's bytes. */
    private final ByteBuffer bytes;

    private long windowStart;
    private long windowBytes;

    private SegmentScanner(
            Segment segment,
            SegmentEntry entry,
            long knownThrough,
            SegmentSink sink,
            LongConsumer beforeRead,
            MemorySegment window) {
        this.segment = segment;
        this.entry = entry;
        this.knownThrough = entry.closed() ? entry.lastSequence() : knownThrough;
        this.sink = sink;
        this.beforeRead = beforeRead;
        this.window = window;
        this.bytes = window.asByteBuffer().order(ByteOrder.BIG_ENDIAN);
    }

    /**
     * Tells {@code sink} what it finds, and {@code segment} of itself.
     *
     * @param knownThrough records at or below were made durable; if the catalogue says that the segment is still being filled they must be
     *     here or in an older one
     * @param beforeRead told how many bytes are about to be read, and may wait
     */
    static void scan(Segment segment, SegmentEntry entry, long knownThrough, SegmentSink sink, LongConsumer beforeRead)
            throws IOException {
        segment.begin(entry.firstSequence());
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment window = arena.allocate(Math.min(WINDOW_BYTES, entry.sizeBytes()), 64);
            new SegmentScanner(segment, entry, knownThrough, sink, beforeRead, window).scan();
        }
    }

    private void scan() throws IOException {
        long position = 0;
        long expected = entry.firstSequence();
        while (!entry.closed() || expected <= entry.lastSequence()) {
            RecordHeader header = headerAt(position);
            if (header != null && header.sequence() == expected) {
                if (payloadIsRight(position, header)) {
                    found(position, header);
                } else if (nextValid(position + header.journalBytes(), expected) >= 0 || expected <= knownThrough) {
                    damage(position, expected, header.lane(), "payload");
                    segment.note(header);
                } else {
                    return;
                }
                position += header.journalBytes();
                expected++;
                continue;
            }
            long next = nextValid(position, expected - 1);
            if (next < 0) {
                if (expected <= knownThrough) {
                    damage(position, expected, JournalScan.Damage.ANY_LANE, "header");
                }
                return;
            }
            damage(position, expected, JournalScan.Damage.ANY_LANE, "header");
            RecordHeader resumed = headerAt(next);
            if (resumed == null) {
                throw new IOException(segment + ": changes while it is read");
            }
            position = next;
            expected = resumed.sequence();
        }
    }

    private void found(long position, RecordHeader header) {
        segment.note(header);
        sink.record(
                header,
                new JournalRecord(
                        segment, position, header.kind(), header.sequence(), header.offset(), header.lengthBytes()));
    }

    private void damage(long position, long sequence, int lane, String part) {
        sink.damage(new JournalScan.Damage(
                sequence, lane, segment + ": wrong " + part + " of record " + sequence + " at byte " + position));
    }

    /** Null if there is no valid header of this segment. */
    private @Nullable RecordHeader headerAt(long position) throws IOException {
        if (position + RecordHeader.BYTES > entry.sizeBytes()) {
            return null;
        }
        RecordHeader header = RecordHeader.decode(bytes, view(position, RecordHeader.BYTES));
        return header != null
                        && header.segmentId() == entry.id()
                        && header.payloadBytes() <= entry.sizeBytes() - position - RecordHeader.BYTES
                        && header.payloadBytes() <= window.byteSize() - RecordHeader.BYTES
                ? header
                : null;
    }

    private boolean payloadIsRight(long position, RecordHeader header) throws IOException {
        if (header.kind() != RecordKind.WRITE) {
            return true;
        }
        CRC32C crc = new CRC32C();
        int at = view(position + RecordHeader.BYTES, header.payloadBytes());
        crc.update(bytes.slice(at, (int) header.payloadBytes()));
        return (int) crc.getValue() == header.payloadCrc();
    }

    /** The position of the first valid header at or after {@code from} with a sequence above {@code above}; -1 if none. */
    private long nextValid(long from, long above) throws IOException {
        for (long at = from; at + RecordHeader.BYTES <= entry.sizeBytes(); at += RecordHeader.BYTES) {
            RecordHeader header = headerAt(at);
            if (header != null && header.sequence() > above) {
                return at;
            }
        }
        return -1;
    }

    /** Where in the window the range is. */
    private int view(long position, long lengthBytes) throws IOException {
        if (position < windowStart || position + lengthBytes > windowStart + windowBytes) {
            windowStart = position;
            windowBytes = Math.min(window.byteSize(), entry.sizeBytes() - position);
            beforeRead.accept(windowBytes);
            segment.file().read(windowStart, window.asSlice(0, windowBytes));
            // The disk reads the next window while this one is checked.
            segment.file()
                    .readAhead(
                            windowStart + windowBytes,
                            Math.min(window.byteSize(), entry.sizeBytes() - windowStart - windowBytes));
        }
        return (int) (position - windowStart);
    }
}
