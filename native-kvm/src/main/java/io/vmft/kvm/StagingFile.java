package io.vmft.kvm;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;

/**
 * The file through which the library hands over pages; mapped by both sides.
 *
 * <pre>
 *  0            4096            slotsOffset                + slotBytes
 *  ┌────────────┬───────────────┬──────────────────────────┬───────────── ┄ ┐
 *  │ header     │ bitmap of a   │ slot 0                   │ slot 1         │
 *  │            │ live harvest, │ page indexes │ pages     │                │
 *  │            │ or digests    │              │           │                │
 *  └────────────┴───────────────┴──────────────────────────┴───────────── ┄ ┘
 *
 *  header, little-endian:
 *   0 u64 magic "VMFTSTG1"     40 u64 bitmapBytes
 *   8 u32 ABI version          48 u64 slotsOffset
 *  12 u32 page bytes           56 u64 slotBytes
 *  16 u64 guest RAM bytes      64 u64 offset of the pages in a slot
 *  24 u32 slots                72 u64 pause timeout, nanoseconds
 *  28 u32 pages per slot       80 u64 bytes of the whole file
 *  32 u64 bitmapOffset         88 u64 bytes of the blocks file
 * </pre>
 *
 * All parts begin on page boundaries. The mapping lives as long as any buffer of it is reachable.
 */
final class StagingFile {
    private static final long MAGIC = 0x3147_5453_5446_4d56L;
    /** {@code VMFT_DIGEST_PAGES} in {@code vmft.h}. */
    static final int DIGEST_PAGES = 256;

    private static final int HEADER_BYTES = TrackerConfig.PAGE_BYTES;

    private final TrackerConfig config;
    private final MemorySegment mapping;
    private final long bitmapBytes;
    private final long slotsOffset;
    private final long pagesOffset;
    private final long slotBytes;

    private StagingFile(TrackerConfig config, FileChannel channel) throws IOException {
        this.config = config;
        this.bitmapBytes = pageAligned((config.capacityPages() + 7) / 8);
        this.slotsOffset = HEADER_BYTES + bitmapBytes;
        this.pagesOffset = pageAligned((long) config.pagesPerSlot() * Long.BYTES);
        this.slotBytes = pagesOffset + (long) config.pagesPerSlot() * TrackerConfig.PAGE_BYTES;
        long fileBytes = slotsOffset + slotBytes * config.slots();
        reserve(channel, fileBytes);
        channel.write(header(fileBytes), 0);
        this.mapping = channel.map(FileChannel.MapMode.READ_WRITE, 0, fileBytes, Arena.ofAuto());
    }

    /** Makes the file anew, with all its bytes reserved, readable by its owner only. */
    static StagingFile create(TrackerConfig config) throws IOException {
        try (FileChannel channel = OwnFile.create(config.stagingFile())) {
            return new StagingFile(config, channel);
        } catch (IOException | RuntimeException e) {
            Files.deleteIfExists(config.stagingFile());
            throw e;
        }
    }

    /** Written out, because a page that tmpfs cannot provide later would end a process with SIGBUS. */
    private static void reserve(FileChannel channel, long fileBytes) throws IOException {
        ByteBuffer zeroes = ByteBuffer.allocateDirect(1 << 20);
        for (long written = 0; written < fileBytes; ) {
            zeroes.clear().limit((int) Math.min(zeroes.capacity(), fileBytes - written));
            written += channel.write(zeroes, written);
        }
    }

    private ByteBuffer header(long fileBytes) {
        return ByteBuffer.allocate(HEADER_BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(0, MAGIC)
                .putInt(8, NativeLibrary.ABI_VERSION)
                .putInt(12, TrackerConfig.PAGE_BYTES)
                .putLong(16, config.ramBytes())
                .putInt(24, config.slots())
                .putInt(28, config.pagesPerSlot())
                .putLong(32, HEADER_BYTES)
                .putLong(40, bitmapBytes)
                .putLong(48, slotsOffset)
                .putLong(56, slotBytes)
                .putLong(64, pagesOffset)
                .putLong(72, config.pauseTimeout().toNanos())
                .putLong(80, fileBytes)
                .putLong(88, config.blocksBytes());
    }

    /** The slot's content; the caller has checked slot and count. */
    Chunk chunk(long epoch, int slot, int pageCount, int storedCount) {
        long offset = slotsOffset + slotBytes * slot;
        ByteBuffer indexes = mapping.asSlice(offset, (long) pageCount * Long.BYTES)
                .asByteBuffer()
                .asReadOnlyBuffer()
                .order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer pages = mapping.asSlice(offset + pagesOffset, (long) storedCount * TrackerConfig.PAGE_BYTES)
                .asByteBuffer();
        return new Chunk(epoch, slot, pageCount, storedCount, indexes, pages);
    }

    /** Copies the digests that have just been reported. */
    int[] digests(int count) {
        int[] digests = new int[count];
        MemorySegment.copy(
                mapping, ValueLayout.JAVA_INT.withOrder(ByteOrder.LITTLE_ENDIAN), HEADER_BYTES, digests, 0, count);
        return digests;
    }

    /** Copies the bitmap, of so many pages, of the live harvest that has just been reported. */
    DirtyBitmap bitmap(long pages) {
        long[] words = new long[DirtyBitmap.wordsFor(pages)];
        MemorySegment.copy(
                mapping,
                ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN),
                HEADER_BYTES,
                words,
                0,
                words.length);
        return new DirtyBitmap(words, pages);
    }

    private static long pageAligned(long bytes) {
        return (bytes + TrackerConfig.PAGE_BYTES - 1) / TrackerConfig.PAGE_BYTES * TrackerConfig.PAGE_BYTES;
    }
}
