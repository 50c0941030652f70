package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import io.vmft.blk.file.StoreFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.zip.CRC32C;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class JournalTest {
    private static final long SEGMENT = 64 << 10;
    private static final int LANE = 1;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private final JournalBudget budget = new JournalBudget(1 << 20, Duration.ofMillis(1));
    private final Arena arena = Arena.ofShared();
    private MetaStore meta;
    private Journal journal;

    @BeforeEach
    void open() throws IOException {
        meta = MetaStore.open(directory.resolve("index"));
        journal = openJournal().journal();
    }

    @AfterEach
    void close() {
        files.heal();
        journal.close();
        meta.close();
        arena.close();
    }

    private Journal.Opened openJournal() throws IOException {
        return Journal.open(files, directory.resolve("journal"), SEGMENT, meta, budget, Watermarks.NONE);
    }

    private Journal.Opened reopen() throws IOException {
        journal.close();
        Journal.Opened opened = openJournal();
        journal = opened.journal();
        return opened;
    }

    private JournalRecord append(int lane, int bytes) throws IOException {
        JournalWrite write = write(lane, bytes);
        return journal.append(lane, 1, RecordKind.WRITE, 0, bytes, write.data(), write.crc());
    }

    private JournalWrite write(int lane, int bytes) {
        MemorySegment payload = arena.allocate(bytes);
        for (int i = 0; i < bytes; i++) {
            payload.set(ValueLayout.JAVA_BYTE, i, (byte) (lane + i));
        }
        CRC32C crc = new CRC32C();
        crc.update(payload.asByteBuffer());
        return new JournalWrite(0, payload, (int) crc.getValue());
    }

    private List<JournalRecord> appendTogether(int lane, int count, int bytes) throws IOException {
        List<JournalWrite> writes = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            writes.add(write(lane, bytes + i));
        }
        List<JournalRecord> records = new ArrayList<>();
        while (records.size() < count) {
            records.addAll(journal.append(lane, 1, writes.subList(records.size(), count)));
        }
        return records;
    }

    private long segmentFiles() throws IOException {
        try (var listing = Files.list(directory.resolve("journal"))) {
            return listing.count();
        }
    }

    private static MemorySegment payload(RecordReader reader, JournalRecord record) throws IOException {
        reader.begin(record);
        reader.read();
        return reader.payload(record);
    }

    @Test
    void whatWasAppendedIsFoundInOrderAndReadBackAndNumbersGoOn() throws IOException {
        List<Long> sequences = new ArrayList<>();
        for (int i = 0; i < 60; i++) {
            sequences.add(append(LANE + i % 3, 1 + i * 97).sequence());
        }
        assertThat(journal.segmentCount()).isGreaterThan(2);
        Journal.Opened opened = reopen();
        assertThat(opened.scan().damages()).isEmpty();
        assertThat(opened.scan().records().stream().map(found -> found.header().sequence()))
                .isEqualTo(sequences);
        RecordReader reader = new RecordReader(journal);
        for (JournalScan.Found found : opened.scan().records()) {
            MemorySegment payload = payload(reader, found.record());
            assertThat(payload.byteSize()).isEqualTo(found.header().lengthBytes());
            assertThat(payload.get(ValueLayout.JAVA_BYTE, payload.byteSize() - 1))
                    .isEqualTo((byte) (found.header().lane() + payload.byteSize() - 1));
        }
        assertThat(append(LANE, 10).sequence()).isEqualTo(sequences.getLast() + 1);
    }

    @Test
    void anAppendWritesItsLastBlockWholeAndNothingBehindIt() throws IOException {
        StoreFile file = append(LANE, 10).segment().file();
        byte before = 0x5a;
        file.write(4096, arena.allocate(3 * 4096).fill(before));
        JournalRecord record = append(LANE, 4096);
        long end = record.position() + RecordHeader.journalBytes(4096);
        assertThat(end).isBetween(4097L, 8191L);
        MemorySegment found = arena.allocate(3 * 4096);
        file.read(4096, found);
        assertThat(found.asSlice(end - 4096, 8192 - end).toArray(ValueLayout.JAVA_BYTE))
                .containsOnly(0);
        assertThat(found.asSlice(4096).toArray(ValueLayout.JAVA_BYTE)).containsOnly(before);
    }

    @Test
    void anAppendMayEndWhereItsSegmentEnds() throws IOException {
        int payload = 4096 - RecordHeader.BYTES;
        JournalRecord last = append(LANE, payload);
        for (int i = 1; i < SEGMENT / 4096; i++) {
            last = append(LANE, payload);
        }
        assertThat(last.position() + 4096).isEqualTo(SEGMENT);
        assertThat(last.segment().file().sizeBytes()).isEqualTo(SEGMENT);
        assertThat(append(LANE, 10).position()).isZero();
    }

    @Test
    void anAppendInASegmentsLastBlockMakesItNoLonger() throws IOException {
        int payload = 4096 - RecordHeader.BYTES;
        JournalRecord record = append(LANE, payload);
        for (int i = 2; i < SEGMENT / 4096; i++) {
            record = append(LANE, payload);
        }
        for (int i = 0; i < 2; i++) {
            record = append(LANE, 10);
            assertThat(record.position()).isBetween(SEGMENT - 4096, SEGMENT - 1);
            assertThat(record.segment().file().sizeBytes()).isEqualTo(SEGMENT);
        }
    }

    @Test
    void numbersGoOnAboveEveryWatermarkEvenIfTheJournalIsEmpty() throws IOException {
        journal.close();
        Journal.Opened opened = Journal.open(
                files, directory.resolve("journal"), SEGMENT, meta, budget, new Watermarks(Map.of(LANE, 500L), 700, 0));
        journal = opened.journal();
        assertThat(append(LANE, 10).sequence()).isEqualTo(701);
    }

    @Test
    void segmentsNobodyNeedsAreUsedAgainOrDeletedAndStayAwayAfterARestart() throws IOException {
        long last = 0;
        for (int i = 0; i < 400; i++) {
            last = append(LANE + i % 2, 4096).sequence();
        }
        int before = journal.segmentCount();
        journal.settle(LANE, last);
        assertThat(journal.segmentCount()).as("the other lane needs them").isEqualTo(before);
        journal.settle(LANE + 1, last);
        assertThat(journal.segmentCount()).as("the active one is left").isEqualTo(1);
        assertThat(segmentFiles()).as("active and spares").isLessThanOrEqualTo(18);
        for (int i = 0; i < 40; i++) {
            append(LANE, 4096);
        }
        Journal.Opened opened = reopen();
        assertThat(opened.scan().damages()).isEmpty();
        assertThat(opened.scan().records())
                .as("records of recycled files do not come back")
                .allMatch(found -> found.header().sequence() > 150);
        long newest = last;
        assertThat(opened.scan().records().stream()
                        .filter(found -> found.header().sequence() > newest)
                        .count())
                .isEqualTo(40);
    }

    @Test
    void aReaderKeepsASegmentUntilItIsDone() throws IOException {
        JournalRecord record = append(LANE, 4096);
        record.segment().retain();
        long last = 0;
        for (int i = 0; i < 100; i++) {
            last = append(LANE, 4096).sequence();
        }
        journal.settle(LANE, last);
        for (int i = 0; i < 100; i++) {
            append(LANE, 2048);
        }
        RecordReader reader = new RecordReader(journal);
        assertThat(payload(reader, record).byteSize()).isEqualTo(4096);
        record.segment().release();
        assertThatThrownBy(() -> record.segment().retain()).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void aRecordChangedOnDiskIsNeverReadAsIfItWereRight() throws IOException {
        JournalRecord record = append(LANE, 4096);
        MemorySegment other = arena.allocate(1);
        record.segment().file().write(record.payloadPosition(4000), other);
        RecordReader reader = new RecordReader(journal);
        assertThatThrownBy(() -> payload(reader, record)).isInstanceOf(CorruptRecordException.class);
    }

    @Test
    void recordsThatLieCloseTogetherAreReadByOneCall() throws IOException {
        List<JournalRecord> wanted = new ArrayList<>();
        for (int i = 0; i < 12; i++) {
            JournalRecord record = append(LANE + i, 4096);
            if (i != 4 && (i < 6 || i > 9)) {
                wanted.add(record);
            }
        }
        RecordReader reader = new RecordReader(journal);
        reader.begin(wanted.getFirst());
        int next = 0;
        while (next < wanted.size() && reader.add(wanted.get(next))) {
            next++;
        }
        assertThat(next).as("across a gap of one record, but not of four").isEqualTo(5);
        long before = files.readBytes(wanted.getFirst().segment().file().path());
        reader.read();
        assertThat(files.readBytes(wanted.getFirst().segment().file().path()) - before)
                .isEqualTo(6 * (RecordHeader.BYTES + 4096));
        for (int i = 0; i < next; i++) {
            int lane = i < 4 ? LANE + i : LANE + i + 1;
            assertThat(reader.payload(wanted.get(i)).get(ValueLayout.JAVA_BYTE, 0))
                    .isEqualTo((byte) lane);
        }
    }

    @Test
    void whatCannotBeReadBetweenRecordsDoesNotConcernThem() throws IOException {
        JournalRecord one = append(LANE, 4096);
        append(LANE + 1, 4096);
        JournalRecord other = append(LANE, 4096);
        RecordReader reader = new RecordReader(journal);
        reader.begin(one);
        assertThat(reader.add(other)).isTrue();
        AtomicInteger reads = new AtomicInteger();
        files.inject((call, _) -> {
            if (call == FaultyFiles.Call.READ && reads.getAndIncrement() == 0) {
                throw new IOException("injected");
            }
        });
        reader.read();
        assertThat(reads).hasValue(3);
        assertThat(reader.payload(other).byteSize()).isEqualTo(4096);
    }

    @Test
    void aFailedSyncIsFinalAndRememberedAcrossARestart() throws IOException {
        JournalRecord record = append(LANE, 100);
        files.inject((call, _) -> {
            if (call == Call.SYNC) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> journal.sync(record.sequence())).hasMessageContaining("injected");
        files.heal();
        assertThatThrownBy(() -> journal.sync(record.sequence())).hasMessageContaining("could not be synced before");
        assertThatThrownBy(() -> append(LANE, 100)).hasMessageContaining("could not be synced before");
        assertThat(meta.suspect()).isTrue();
    }

    @Test
    void callersOfSyncShareOne() throws Exception {
        AtomicInteger syncs = new AtomicInteger();
        long last = 0;
        for (int i = 0; i < 8; i++) {
            last = append(LANE, 100).sequence();
        }
        files.inject((call, path) -> {
            // The spare that is prepared beside is synced too.
            if (call == Call.SYNC && path.toString().endsWith("000000.segment")) {
                syncs.incrementAndGet();
            }
        });
        List<Thread> threads = new ArrayList<>();
        for (long sequence = 1; sequence <= last; sequence++) {
            long wanted = sequence;
            threads.add(Thread.startVirtualThread(() -> {
                try {
                    journal.sync(wanted);
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            }));
        }
        for (Thread thread : threads) {
            thread.join();
        }
        assertThat(syncs).hasValue(1);
    }

    @Test
    void aFullDiskFailsTheAppendAndNothingElse() throws IOException {
        append(LANE, 4096);
        Awaitility.await().until(() -> segmentFiles() >= 2);
        files.inject((call, _) -> {
            if (call == Call.RESERVE) {
                throw new NoSpaceException("injected");
            }
        });
        assertThatThrownBy(() -> {
                    for (int i = 0; i < 100; i++) {
                        append(LANE, 4096);
                    }
                })
                .isInstanceOf(NoSpaceException.class);
        long last = journal.lastSequence();
        files.heal();
        assertThat(append(LANE, 4096).sequence()).isEqualTo(last + 1);
        journal.sync(last + 1);
        assertThat(reopen().scan().damages()).isEmpty();
    }

    @Test
    void aWriteThatFailedHalfWayIsWrittenOver() throws IOException {
        append(LANE, 100);
        long last = journal.lastSequence();
        files.inject((call, _) -> {
            if (call == Call.WRITE) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> append(LANE, 200)).hasMessageContaining("injected");
        files.heal();
        assertThat(append(LANE, 300).sequence()).isEqualTo(last + 1);
        assertThat(reopen().scan().records()).hasSize(2);
    }

    @Test
    void whatIsAppendedTogetherLiesThereAsIfOneAfterTheOther() throws IOException {
        List<JournalRecord> records = new ArrayList<>();
        records.add(append(LANE, 77));
        records.addAll(appendTogether(LANE, 300, 1));
        records.addAll(appendTogether(LANE + 1, 40, 4090));
        records.add(append(LANE, 77));
        assertThat(journal.segmentCount()).isGreaterThan(2);
        journal.sync(journal.lastSequence());
        Journal.Opened opened = reopen();
        assertThat(opened.scan().damages()).isEmpty();
        assertThat(opened.scan().records()).hasSize(records.size());
        RecordReader reader = new RecordReader(journal);
        for (int i = 0; i < records.size(); i++) {
            JournalScan.Found found = opened.scan().records().get(i);
            assertThat(found.record().sequence()).isEqualTo(i + 1);
            assertThat(found.record().position()).isEqualTo(records.get(i).position());
            assertThat(found.record().lengthBytes()).isEqualTo(records.get(i).lengthBytes());
            assertThat(payload(reader, found.record()).get(ValueLayout.JAVA_BYTE, 0))
                    .isEqualTo((byte) found.header().lane());
        }
    }

    private static void failAfterWriting(FaultyFiles files) {
        files.inject(new FaultyFiles.Fault() {
            @Override
            public void before(Call call, Path path) {}

            @Override
            public void afterWrite(Path path) throws IOException {
                throw new IOException("injected");
            }
        });
    }

    @Test
    void recordsOfWhichNobodyWasToldAreNotFoundBehindWhatIsAppendedNext() throws IOException {
        append(LANE, 100);
        long last = journal.lastSequence();
        failAfterWriting(files);
        assertThatThrownBy(() -> appendTogether(LANE, 5, 4000)).hasMessageContaining("injected");
        assertThatThrownBy(() -> append(LANE, 5)).hasMessageContaining("injected");
        assertThat(journal.lastSequence()).isEqualTo(last);
        files.heal();
        JournalRecord next = append(LANE, 4000); // as long as the first of those
        assertThat(next.sequence()).isEqualTo(last + 1);
        Journal.Opened opened = reopen();
        assertThat(opened.scan().damages()).isEmpty();
        assertThat(opened.scan().records().stream().map(found -> found.record().sequence()))
                .containsExactly(last, last + 1);
    }

    @Test
    void nothingIsAppendedBehindSuchRecordsAsLongAsTheyCannotBeDestroyed() throws IOException {
        failAfterWriting(files);
        assertThatThrownBy(() -> appendTogether(LANE, 5, 4000)).hasMessageContaining("injected");
        files.inject((call, _) -> {
            if (call == Call.WRITE) {
                throw new IOException("still broken");
            }
        });
        assertThatThrownBy(() -> append(LANE, 4000)).hasMessageContaining("still broken");
        files.heal();
        assertThat(appendTogether(LANE, 2, 4000).getLast().sequence()).isEqualTo(2);
        assertThat(reopen().scan().records()).hasSize(2);
    }

    @Test
    void aMissingSegmentIsNamedAndNothingStarts() throws IOException {
        append(LANE, 100);
        journal.close();
        try (var listing = Files.list(directory.resolve("journal"))) {
            for (Path path : listing.toList()) {
                Files.delete(path);
            }
        }
        assertThatThrownBy(this::openJournal)
                .isInstanceOf(IOException.class)
                .hasMessageContaining("000000.segment")
                .hasMessageContaining("restore");
    }
}
