package io.vmft.blk.overlay;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Segment;
import io.vmft.blk.journal.Segments;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

/** The map against an array that has, for each byte, the sequence number of the record it is from. Leaves are small, so that there are many. */
class ExtentMapTest {
    private static final int SIZE = 600;

    private static final List<RecordKind> KINDS = List.of(RecordKind.values());

    private final List<Segment> segments =
            List.of(Segments.untouchable(), Segments.untouchable(), Segments.untouchable(), Segments.untouchable());
    private final List<JournalRecord> records = new ArrayList<>();

    private JournalRecord put(ExtentMap map, long[] model, int start, int length) {
        long sequence = records.size() + 1L;
        JournalRecord record = new JournalRecord(
                segments.get((int) (sequence * 7 % 11 % segments.size())),
                sequence % 3 == 0 ? (1L << 30) - sequence : sequence << 6,
                KINDS.get((int) (sequence % KINDS.size())),
                sequence,
                start,
                length);
        records.add(record);
        map.put(start, start + length, record);
        Arrays.fill(model, start, start + length, sequence);
        return record;
    }

    /** Bytes from {@code from} on, as who reads from there finds them; overlaps, gaps and what is empty fail. */
    private long[] bytes(ExtentMap map, int from) {
        long[] found = new long[SIZE];
        long at = 0;
        for (long extent = map.find(from); extent != ExtentMap.NONE; extent = map.next(extent)) {
            long start = map.start(extent);
            long end = map.end(extent);
            assertThat(start).isGreaterThanOrEqualTo(at);
            assertThat(end).isGreaterThan(Math.max(start, from));
            long sequence = map.sequence(extent);
            JournalRecord record = records.get((int) sequence - 1);
            assertThat(map.record(extent)).isEqualTo(record);
            assertThat(map.kind(extent)).isEqualTo(record.kind());
            Arrays.fill(found, (int) start, (int) end, sequence);
            at = end;
        }
        return found;
    }

    private void check(ExtentMap map, long[] model, int from) {
        assertThat(Arrays.copyOfRange(bytes(map, from), from, SIZE)).isEqualTo(Arrays.copyOfRange(model, from, SIZE));
    }

    @Property(tries = 500)
    void holdsTheNewestOfEveryByte(@ForAll Random random, @ForAll @IntRange(min = 2, max = 9) int leafExtents) {
        ExtentMap map = new ExtentMap(leafExtents);
        long[] model = new long[SIZE];
        for (int i = 0; i < 300; i++) {
            // Mostly short ones, so that there are many; now and then one that covers leaves.
            int most = random.nextInt(20) == 0 ? SIZE : 6;
            int start = random.nextInt(SIZE);
            put(map, model, start, 1 + random.nextInt(Math.min(most, SIZE - start)));
            check(map, model, random.nextInt(SIZE));
        }
        check(map, model, 0);
    }

    @Property(tries = 300)
    void aNewerMapGoesOnTop(
            @ForAll Random random,
            @ForAll @IntRange(min = 2, max = 9) int leafExtents,
            @ForAll @IntRange(max = 150) int older,
            @ForAll @IntRange(max = 150) int newer) {
        ExtentMap map = new ExtentMap(leafExtents);
        ExtentMap top = new ExtentMap(leafExtents);
        long[] model = new long[SIZE];
        for (int i = 0; i < older + newer; i++) {
            int start = random.nextInt(SIZE);
            put(i < older ? map : top, model, start, 1 + random.nextInt(Math.min(8, SIZE - start)));
        }
        map.putAll(top);
        check(map, model, 0);
    }

    @Test
    void keepsBlocksThatAreWrittenOneAfterTheOtherApart() {
        ExtentMap map = new ExtentMap(4);
        long[] model = new long[SIZE];
        List<Extent> expected = new ArrayList<>();
        for (int start = 0; start < SIZE; start += 4) {
            expected.add(new Extent(start, start + 4, put(map, model, start, 4)));
        }
        assertThat(map).containsExactlyElementsOf(expected);
        JournalRecord all = put(map, model, 0, SIZE);
        assertThat(map).containsExactly(new Extent(0, SIZE, all));
    }

    /** Leaves as they are in use, which grow before they are split. */
    @Property(tries = 20)
    void manyFitIntoALeaf(@ForAll Random random) {
        ExtentMap map = new ExtentMap();
        long[] model = new long[SIZE];
        for (int i = 0; i < 1500; i++) {
            put(map, model, random.nextInt(SIZE), 1);
        }
        check(map, model, 0);
    }

    @Test
    void isEmptyAtFirst() {
        ExtentMap map = new ExtentMap();
        assertThat(map).isEmpty();
        assertThat(map.find(0)).isEqualTo(ExtentMap.NONE);
        assertThat(map.find(Long.MAX_VALUE)).isEqualTo(ExtentMap.NONE);
    }
}
