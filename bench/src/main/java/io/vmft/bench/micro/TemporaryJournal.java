package io.vmft.bench.micro;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalBudget;
import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Watermarks;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;
import java.util.zip.CRC32C;

/** A journal that gives its segments back as they fill, and is deleted when it is closed. */
final class TemporaryJournal implements AutoCloseable {
    private static final int BLOCK_BYTES = 4096;
    private static final long SEGMENT_BYTES = 64 << 20;
    private static final int LANE = 1;
    /** About a segment. */
    private static final int SETTLE_EVERY = 16_000;

    private final Path folder = Files.createTempDirectory("vmft-bench-journal");
    private final Arena arena = Arena.ofShared();
    private final MemorySegment block = arena.allocate(BLOCK_BYTES, 4096);
    private final MetaStore meta;
    private final Journal journal;
    private final JournalRecord first;

    TemporaryJournal() throws IOException {
        meta = MetaStore.open(folder.resolve("index"));
        journal = Journal.open(
                        StoreFiles.SYSTEM,
                        folder.resolve("journal"),
                        SEGMENT_BYTES,
                        meta,
                        new JournalBudget(1 << 30, Duration.ofMillis(250)),
                        Watermarks.NONE)
                .journal();
        first = append();
    }

    /** A record whose segment is there for as long as the journal, if nothing else is appended. */
    JournalRecord first() {
        return first;
    }

    /** Appends a block and its checksum. */
    JournalRecord append() throws IOException {
        CRC32C crc = new CRC32C();
        crc.update(block.asByteBuffer());
        JournalRecord record = journal.append(LANE, 1, RecordKind.WRITE, 0, BLOCK_BYTES, block, (int) crc.getValue());
        if (record.sequence() % SETTLE_EVERY == 0) {
            journal.settle(LANE, record.sequence());
        }
        return record;
    }

    @Override
    public void close() throws IOException {
        journal.close();
        meta.close();
        arena.close();
        List<Path> all;
        try (Stream<Path> files = Files.walk(folder)) {
            all = files.sorted(Comparator.reverseOrder()).toList();
        }
        for (Path file : all) {
            Files.delete(file);
        }
    }
}
