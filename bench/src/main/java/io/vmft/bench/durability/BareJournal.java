package io.vmft.bench.durability;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.JournalBudget;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Watermarks;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.time.Duration;
import java.util.zip.CRC32C;

/**
 * The journal as the coordinator uses it for a commit, without images: records, their segments synced, then one synced batch of the index.
 * What is committed counts as folded a while later.
 */
final class BareJournal implements AutoCloseable {
    private static final long SEGMENT_BYTES = 64 << 20;
    private static final long LIMIT_BYTES = 1 << 30;
    /** How far the applier is behind. */
    private static final long BEHIND_BYTES = 128 << 20;
    /** As large as an arbiter's record. */
    private static final byte[] RECORD = new byte[200];

    private final MetaStore meta;
    private final Journal journal;

    BareJournal(Path folder, StoreFiles files) throws IOException {
        meta = MetaStore.open(folder.resolve("index"));
        journal = Journal.open(
                        files,
                        folder.resolve("journal"),
                        SEGMENT_BYTES,
                        meta,
                        new JournalBudget(LIMIT_BYTES, Duration.ofMillis(250)),
                        Watermarks.NONE)
                .journal();
    }

    /** Writes of one lane, committed for one VM. */
    DurableLog lane(int lane, MemorySegment block) {
        return new Lane(lane, block);
    }

    /** How often the index's log was synced. */
    long indexSyncs() throws IOException {
        return meta.logSyncs();
    }

    @Override
    public void close() {
        journal.close();
        meta.close();
    }

    private final class Lane implements DurableLog {
        private final int lane;
        private final MemorySegment block;
        private long last;

        Lane(int lane, MemorySegment block) {
            this.lane = lane;
            this.block = block;
        }

        @Override
        public void append() throws IOException {
            CRC32C crc = new CRC32C();
            crc.update(block.asByteBuffer());
            last = journal.append(lane, 1, RecordKind.WRITE, 0, block.byteSize(), block, (int) crc.getValue())
                    .sequence();
        }

        @Override
        public void commit() throws IOException {
            journal.sync(last);
            try (MetaStore.Batch batch = meta.batch()) {
                batch.putVm("vm" + lane, RECORD).putCommitted(lane, last).write(true);
            }
            long folded = last - BEHIND_BYTES / block.byteSize();
            if (folded > 0) {
                journal.settle(lane, folded);
            }
        }

        @Override
        public void close() {}
    }
}
