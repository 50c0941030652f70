package io.vmft.kvm;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongConsumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * A listener that keeps a copy of the guest's memory, RAM and all else: chunks are staged, and folded when their epoch is sealed. What is
 * done after a pause and with a chunk's slot can be changed.
 */
final class Backup implements Tracker.Listener {
    private static final int COUNTER_PAGE = 0x200000;
    private static final VarHandle LITTLE_ENDIAN_LONG =
            ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN).varHandle();

    /** Room for memory beside guest RAM. */
    private static final long BLOCKS_BYTES = 64L << 20;

    private record Page(long index, MemorySegment content) {}

    final BlockingQueue<Hello> hellos = new LinkedBlockingQueue<>();
    final BlockingQueue<Harvest> harvests = new LinkedBlockingQueue<>();
    final BlockingQueue<Chunk> chunks = new LinkedBlockingQueue<>();
    final BlockingQueue<int[]> digests = new LinkedBlockingQueue<>();
    final BlockingQueue<String> ends = new LinkedBlockingQueue<>();
    /** By page number: the guest's RAM, then the blocks beside it. */
    final MemorySegment image;

    private final long ramBytes;
    /** Page indexes in the chunks of the last epoch that ended. */
    volatile Set<Long> lastPages = Set.of();

    private final List<Page> staged = new ArrayList<>();
    private long stagedEpoch;

    volatile @Nullable Tracker tracker;
    /** Of a valid harvest; is to {@link #seal} or to {@link #refuse}. */
    volatile LongConsumer onHarvested = this::seal;

    volatile Consumer<Chunk> onChunk = chunk -> tracker().release(chunk.slot());

    Backup(long ramBytes) {
        this.ramBytes = ramBytes;
        image = Arena.ofAuto().allocate(ramBytes + BLOCKS_BYTES, 4096);
    }

    Tracker tracker() {
        Tracker t = tracker;
        if (t == null) {
            throw new IllegalStateException("no tracker yet");
        }
        return t;
    }

    @Override
    public void connected(Hello hello) {
        hellos.add(hello);
    }

    /** What came for an epoch that got no pause is dropped. */
    private void stage(long epoch) {
        if (epoch != stagedEpoch) {
            staged.clear();
            stagedEpoch = epoch;
        }
    }

    @Override
    public void chunk(Chunk chunk) {
        stage(chunk.epoch());
        int stored = 0;
        for (int i = 0; i < chunk.pageCount(); i++) {
            byte[] content = new byte[TrackerConfig.PAGE_BYTES];
            long index = chunk.pageIndexes().getLong(i * Long.BYTES);
            if ((index & Chunk.ZERO_PAGE) == 0) {
                chunk.pages().get(stored++ * TrackerConfig.PAGE_BYTES, content);
            }
            staged.add(new Page(index & ~Chunk.ZERO_PAGE, MemorySegment.ofArray(content)));
        }
        if (stored != chunk.storedCount()) {
            throw new AssertionError(stored + " pages are not zero, " + chunk.storedCount() + " are stored");
        }
        chunks.add(chunk);
        onChunk.accept(chunk);
    }

    @Override
    public void digests(long epoch, int[] found) {
        digests.add(found);
    }

    @Override
    public void harvested(Harvest harvest) {
        stage(harvest.epoch());
        lastPages = staged.stream().map(Page::index).collect(Collectors.toSet());
        if (harvest.valid()) {
            onHarvested.accept(harvest.epoch());
        }
        staged.clear();
        harvests.add(harvest);
    }

    /** The epoch's line is drawn: it counts. */
    void seal(long epoch) {
        tracker().sealed(epoch);
        for (Page page : staged) {
            MemorySegment.copy(
                    page.content(), 0, image, page.index() * TrackerConfig.PAGE_BYTES, TrackerConfig.PAGE_BYTES);
        }
    }

    /** The epoch's line could not be drawn. */
    void refuse(long epoch) {
        tracker().voidCheckpoint(epoch);
    }

    @Override
    public void disconnected(@Nullable Throwable cause) {
        ends.add(String.valueOf(cause));
    }

    <T> T next(BlockingQueue<T> queue) {
        try {
            T element = queue.poll(60, TimeUnit.SECONDS);
            if (element == null) {
                throw new AssertionError("nothing came; ends: " + ends);
            }
            return element;
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** Copies the pages of a live harvest out of the files. */
    void copyLive(DirtyBitmap bitmap, Path ramFile, Path blocksFile) throws IOException {
        MemorySegment ram = map(ramFile);
        MemorySegment blocks = map(blocksFile);
        for (long page = bitmap.nextDirty(0); page < bitmap.pages(); page = bitmap.nextDirty(page + 1)) {
            long offset = page * TrackerConfig.PAGE_BYTES;
            boolean inRam = offset < ramBytes;
            MemorySegment.copy(
                    inRam ? ram : blocks, inRam ? offset : offset - ramBytes, image, offset, TrackerConfig.PAGE_BYTES);
        }
    }

    /** The first page that differs from the files, or -1. */
    long firstDifference(Path ramFile, Path blocksFile) throws IOException {
        long at = map(ramFile).mismatch(image.asSlice(0, ramBytes));
        if (at < 0) {
            at = map(blocksFile).asSlice(0, BLOCKS_BYTES).mismatch(image.asSlice(ramBytes));
            at = at < 0 ? -1 : at + ramBytes;
        }
        return at < 0 ? -1 : at / TrackerConfig.PAGE_BYTES;
    }

    static MemorySegment map(Path ramFile) throws IOException {
        try (FileChannel channel = FileChannel.open(ramFile, StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
        }
    }

    /** How often the guest says that it has written, on its counter page. */
    static long countedWrites(MemorySegment ram) {
        return (long) LITTLE_ENDIAN_LONG.getVolatile(ram, COUNTER_PAGE + 32L);
    }

    /** The guest's time stamp counter at its last write. */
    static long timeStampCounter(MemorySegment ram) {
        return (long) LITTLE_ENDIAN_LONG.getVolatile(ram, COUNTER_PAGE + 40L);
    }

    /** The guest's pattern as far as its counter page says, worked out again; throws where the image says otherwise. */
    long checkPattern() {
        var bytes = image.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        if (bytes.getLong(COUNTER_PAGE) != 0x5453454754464d56L) {
            throw new AssertionError("no counter page");
        }
        long seed = bytes.getLong(COUNTER_PAGE + 8);
        long first = bytes.getLong(COUNTER_PAGE + 16);
        int pages = Math.toIntExact(bytes.getLong(COUNTER_PAGE + 24));
        long writes = bytes.getLong(COUNTER_PAGE + 32);
        long[] expected = new long[pages * 512];
        long x = seed;
        int last = 0;
        long beforeLast = 0;
        // One more than counted may have happened.
        for (long i = 1; i <= writes + 1; i++) {
            x ^= x << 13;
            x ^= x >>> 7;
            x ^= x << 17;
            last = (int) (Long.remainderUnsigned(x, pages) * 512 + (x >>> 32) % 512);
            beforeLast = expected[last];
            expected[last] = x ^ i;
        }
        for (int word = 0; word < expected.length; word++) {
            long actual = bytes.getLong(Math.toIntExact(first * 4096 + (long) word * 8));
            if (actual != expected[word] && !(word == last && actual == beforeLast)) {
                throw new AssertionError(String.format(
                        "after %d writes word %d of the range is %x, should be %x",
                        writes, word, actual, expected[word]));
            }
        }
        return writes;
    }
}
