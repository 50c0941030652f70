package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32C;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is read back from a segment that was cut, torn or changed at any byte. */
class SegmentScannerTest {
    private static final long SIZE = 64 << 10;
    private static final long FIRST = 100;
    private static final int COUNT = 12;
    private static final List<RecordKind> KINDS =
            List.of(RecordKind.WRITE, RecordKind.ZERO, RecordKind.TRIM, RecordKind.SEAL);

    @TempDir
    private Path directory;

    private final Random random = new Random(7);
    private final Arena arena = Arena.ofShared();
    private MemorySegment whole = arena.allocate(SIZE, 64);
    private final List<RecordHeader> headers = new ArrayList<>();
    private final List<Long> positions = new ArrayList<>();
    private StoreFile file;
    private long end;

    @BeforeEach
    void writeASegment() throws IOException {
        file = StoreFiles.SYSTEM.open(directory.resolve("segment"), StoreFiles.Access.CREATE);
        // What the file held before it was used again: a valid record of an older segment at every place.
        for (long at = 0; at < SIZE; at += RecordHeader.BYTES) {
            new RecordHeader(RecordKind.TRIM, 3, FIRST + at / RecordHeader.BYTES, 1, 1, 0, 0, 4096).encode(whole, at);
        }
        for (int i = 0; i < COUNT; i++) {
            RecordKind kind = KINDS.get(i % KINDS.size());
            int length = kind == RecordKind.SEAL ? 0 : 1 + random.nextInt(700);
            MemorySegment payload = whole.asSlice(end + RecordHeader.BYTES, kind == RecordKind.WRITE ? length : 0);
            for (long b = 0; b < payload.byteSize(); b++) {
                payload.set(ValueLayout.JAVA_BYTE, b, (byte) (1 + random.nextInt(255)));
            }
            CRC32C crc = new CRC32C();
            crc.update(payload.asByteBuffer());
            RecordHeader header = new RecordHeader(
                    kind,
                    4,
                    FIRST + i,
                    2,
                    5 + i % 2,
                    payload.byteSize() == 0 ? 0 : (int) crc.getValue(),
                    i * 1000L,
                    length);
            header.encode(whole, end);
            headers.add(header);
            positions.add(end);
            end += header.journalBytes();
        }
    }

    @AfterEach
    void close() throws IOException {
        file.close();
        arena.close();
    }

    private record Result(List<RecordHeader> headers, List<JournalScan.Damage> damages) {}

    private Result scan(MemorySegment content, long lastSequence) throws IOException {
        return scan(content, lastSequence, 0);
    }

    private Result scan(MemorySegment content, long lastSequence, long knownThrough) throws IOException {
        file.write(0, content);
        JournalScan.Collector collector = new JournalScan.Collector(Map.of());
        Segment segment = new Segment(4, new SegmentFile(0, file, SIZE), _ -> {});
        SegmentScanner.scan(
                segment, new SegmentEntry(4, 0, SIZE, FIRST, lastSequence), knownThrough, collector, _ -> {});
        JournalScan scan = collector.scan(1, SIZE);
        for (JournalScan.Found found : scan.records()) {
            int index = (int) (found.header().sequence() - FIRST);
            assertThat(found.record().position()).isEqualTo(positions.get(index));
        }
        return new Result(scan.records().stream().map(JournalScan.Found::header).toList(), scan.damages());
    }

    private MemorySegment copy() {
        MemorySegment copy = arena.allocate(SIZE, 64);
        copy.copyFrom(whole);
        return copy;
    }

    /** How many records lie wholly before {@code cut}. */
    private int before(long cut) {
        int count = 0;
        while (count < COUNT
                && positions.get(count)
                                + RecordHeader.BYTES
                                + headers.get(count).payloadBytes()
                        <= cut) {
            count++;
        }
        return count;
    }

    @Test
    void everythingIsFoundAndWhatTheFileHeldBeforeIsNot() throws IOException {
        Result result = scan(whole, -1);
        assertThat(result.headers()).isEqualTo(headers);
        assertThat(result.damages()).isEmpty();
    }

    @Test
    void anAppendCutAtAnyByteLeavesTheRecordsBeforeIt() throws IOException {
        for (long cut = 0; cut <= end; cut++) {
            MemorySegment content = copy();
            content.asSlice(cut, end - cut).fill((byte) 0);
            Result result = scan(content, -1);
            assertThat(result.headers()).as("cut at %d", cut).isEqualTo(headers.subList(0, before(cut)));
            assertThat(result.damages()).as("cut at %d", cut).isEmpty();
        }
    }

    @Test
    void aCutBelowWhatTheCatalogueKnowsIsDamage() throws IOException {
        for (int index = 0; index < COUNT; index++) {
            MemorySegment content = copy();
            long cut = positions.get(index);
            content.asSlice(cut, end - cut).fill((byte) 0);
            Result result = scan(content, FIRST + COUNT - 1);
            assertThat(result.headers()).isEqualTo(headers.subList(0, index));
            assertThat(result.damages()).hasSize(1);
            assertThat(result.damages().getFirst().firstSequence()).isEqualTo(FIRST + index);
            assertThat(result.damages().getFirst().concerns(5)).isTrue();
        }
    }

    @Test
    void aCutBelowWhatIsKnownToBeDurableIsDamageAlthoughTheSegmentWasStillBeingFilled() throws IOException {
        for (int index = 0; index < COUNT; index++) {
            MemorySegment content = copy();
            long cut = positions.get(index);
            content.asSlice(cut, end - cut).fill((byte) 0);
            assertThat(scan(content, -1, FIRST + index - 1).damages()).isEmpty();
            Result result = scan(content, -1, FIRST + index);
            assertThat(result.headers()).isEqualTo(headers.subList(0, index));
            assertThat(result.damages()).hasSize(1);
            assertThat(result.damages().getFirst().firstSequence()).isEqualTo(FIRST + index);
        }
    }

    @Test
    void aChangedByteCostsItsRecordOnlyAndIsToldUnlessItIsTheLast() throws IOException {
        for (long at = 0; at < end; at++) {
            int index = before(at + 1) == COUNT ? COUNT - 1 : before(at + 1);
            if (at < positions.get(index)) {
                continue; // padding behind the record before
            }
            RecordHeader hit = headers.get(index);
            if (at >= positions.get(index) + RecordHeader.BYTES + hit.payloadBytes()) {
                continue; // padding at the very end
            }
            MemorySegment content = copy();
            byte was = content.get(ValueLayout.JAVA_BYTE, at);
            content.set(ValueLayout.JAVA_BYTE, at, (byte) (was ^ (1 << random.nextInt(8))));
            Result result = scan(content, -1);
            List<RecordHeader> left = new ArrayList<>(headers);
            left.remove(index);
            assertThat(result.headers()).as("byte %d", at).isEqualTo(left);
            if (index == COUNT - 1) {
                assertThat(result.damages()).isEmpty();
            } else {
                assertThat(result.damages()).as("byte %d", at).hasSize(1);
                JournalScan.Damage damage = result.damages().getFirst();
                assertThat(damage.firstSequence()).isEqualTo(FIRST + index);
                boolean inPayload = at >= positions.get(index) + RecordHeader.BYTES;
                assertThat(damage.lane()).isEqualTo(inPayload ? hit.lane() : JournalScan.Damage.ANY_LANE);
            }
        }
    }

    @Test
    void aFullSegmentOfAnyBytesIsReadWithoutHarm() throws IOException {
        for (int round = 0; round < 20; round++) {
            MemorySegment content = arena.allocate(SIZE, 64);
            for (long at = 0; at < SIZE; at += 8) {
                content.set(ValueLayout.JAVA_LONG, at, random.nextLong());
            }
            assertThat(scan(content, -1).headers()).isEmpty();
        }
    }
}
