package io.vmft.blk.snapshot;

import io.vmft.blk.file.StoreFile;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.concurrent.atomic.AtomicLongArray;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Blocks of a volume as they were, each saved at most once, before its first change. Thread-safe; {@link #save} of blocks far from each other
 * runs side by side. Reading takes no lock: a saved block never changes.
 *
 * <p>The file is as the volume is, sparse, with the blocks' marks behind: a block of zeroes takes no space.
 */
public final class SavedBlocks implements AutoCloseable {
    public static final int BLOCK_BYTES = 64 << 10;

    /** Blocks whose saving one lock covers at a time. */
    private static final int REGION_BLOCKS = 1024;

    private static final int REGIONS = 16;
    private static final MemorySegment ZEROES = Arena.global().allocate(BLOCK_BYTES, 4096);

    /** What is saved from. */
    public interface Original {
        void read(long offset, MemorySegment destination) throws IOException;

        /** Where data begins, at or after {@code offset}; what lies before reads as zeroes. */
        long nextData(long offset) throws IOException;

        /** Fills {@code destination} with the marks of consecutive blocks, a long each. */
        void readMarks(long firstBlock, MemorySegment destination) throws IOException;
    }

    private final SnapshotSpace space;
    private final Original original;
    private final StoreFile file;
    private final long sizeBytes;
    private final long marksStart;
    private final AtomicLongArray saved;
    private final Region[] regions = new Region[REGIONS];

    private static final class Region {
        private final ReentrantLock lock = new ReentrantLock();
        private final MemorySegment block = Arena.ofAuto().allocate(BLOCK_BYTES, 4096);
        private final MemorySegment marks = Arena.ofAuto().allocate(REGION_BLOCKS * 8L, 8);
        private long takenBytes;
        private boolean closed;
    }

    public SavedBlocks(SnapshotSpace space, Original original, long sizeBytes) throws IOException {
        this.space = space;
        this.original = original;
        this.sizeBytes = sizeBytes;
        long blocks = blocks(sizeBytes);
        this.marksStart = blocks * BLOCK_BYTES;
        this.saved = new AtomicLongArray(Math.toIntExact((blocks + 63) / 64));
        for (int i = 0; i < REGIONS; i++) {
            regions[i] = new Region();
        }
        this.file = space.newFile(marksStart + blocks * 8);
    }

    /** How many blocks, the last one perhaps shorter, make so many bytes. */
    public static long blocks(long bytes) {
        return (bytes + BLOCK_BYTES - 1) / BLOCK_BYTES;
    }

    public boolean isSaved(long block) {
        return (saved.get((int) (block >> 6)) & 1L << block) != 0;
    }

    /**
     * Saves what the range's blocks hold. When it returns every one of them is saved, and only then may they change.
     *
     * @throws IOException if they are not; then this is of no more use
     */
    public void save(long offset, long lengthBytes) throws IOException {
        long last = (offset + lengthBytes - 1) / BLOCK_BYTES;
        long block = offset / BLOCK_BYTES;
        while (block <= last) {
            if (isSaved(block)) {
                block++;
                continue;
            }
            long end = Math.min(last + 1, (block / REGION_BLOCKS + 1) * REGION_BLOCKS);
            saveRegion(block, end);
            block = end;
        }
    }

    private void saveRegion(long first, long end) throws IOException {
        Region region = regions[(int) (first / REGION_BLOCKS % REGIONS)];
        region.lock.lock();
        try {
            for (long block = first; block < end && !region.closed; ) {
                if (isSaved(block)) {
                    block++;
                    continue;
                }
                long dataBlock = original.nextData(block * BLOCK_BYTES) / BLOCK_BYTES;
                if (dataBlock > block) {
                    long holeEnd = nextSaved(block, Math.min(dataBlock, end));
                    saveMarks(region, block, holeEnd);
                    block = holeEnd;
                } else {
                    saveData(region, block);
                    saveMarks(region, block, block + 1);
                    block++;
                }
            }
        } finally {
            region.lock.unlock();
        }
    }

    private long nextSaved(long block, long end) {
        long at = block;
        while (at < end && !isSaved(at)) {
            at++;
        }
        return at;
    }

    private void saveData(Region region, long block) throws IOException {
        long start = block * BLOCK_BYTES;
        MemorySegment content = region.block.asSlice(0, Math.min(BLOCK_BYTES, sizeBytes - start));
        original.read(start, content);
        if (content.mismatch(ZEROES.asSlice(0, content.byteSize())) >= 0) {
            space.take(content.byteSize());
            region.takenBytes += content.byteSize();
            file.write(start, content);
        }
    }

    /** Saves the marks and, when that is done, says that the blocks are saved. */
    private void saveMarks(Region region, long first, long end) throws IOException {
        MemorySegment marks = region.marks.asSlice(0, (end - first) * 8);
        original.readMarks(first, marks);
        for (long offset = 0; offset < marks.byteSize(); offset += BLOCK_BYTES) {
            MemorySegment part = marks.asSlice(offset, Math.min(BLOCK_BYTES, marks.byteSize() - offset));
            if (part.mismatch(ZEROES.asSlice(0, part.byteSize())) >= 0) {
                file.write(marksStart + first * 8 + offset, part);
            }
        }
        for (long block = first; block < end; block++) {
            long bit = 1L << block;
            saved.accumulateAndGet((int) (block >> 6), bit, (word, added) -> word | added);
        }
    }

    /** Content of saved blocks. */
    public void read(long offset, MemorySegment destination) throws IOException {
        file.read(offset, destination);
    }

    /** Whether a saved block holds nothing but zeroes, as far as that is known. */
    public boolean isZero(long block) throws IOException {
        long start = block * BLOCK_BYTES;
        return file.nextData(start) >= Math.min(start + BLOCK_BYTES, sizeBytes);
    }

    /** The marks that consecutive blocks had when they were saved; nothing of use for others. */
    public void readMarks(long firstBlock, MemorySegment destination) throws IOException {
        file.read(marksStart + firstBlock * 8, destination);
    }

    /** Gives the room back, and saves nothing more. Reading fails from now on. */
    public void discard() throws IOException {
        for (Region region : regions) {
            region.lock.lock();
            try {
                region.closed = true;
                space.giveBack(region.takenBytes);
                region.takenBytes = 0;
            } finally {
                region.lock.unlock();
            }
        }
        file.setSize(0);
    }

    /** No reading may be under way or follow. */
    @Override
    public void close() throws IOException {
        try (file) {
            discard();
        }
    }
}
