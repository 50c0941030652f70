package io.vmft.blk.volume;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assumptions.assumeThat;

import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.journal.Segments;
import io.vmft.blk.overlay.Horizon;
import io.vmft.blk.overlay.Overlay;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.lifecycle.AfterContainer;
import net.jqwik.api.lifecycle.BeforeContainer;

/**
 * Block status against a model of 4 KiB blocks, each data, zeroes or a hole, in the image and in the journal over it. Needs a file system
 * that tells holes.
 */
class AllocationTest {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 64;
    private static final long SIZE = (long) BLOCK * BLOCKS;
    private static final int DATA = 0;
    private static final int ZERO = BlockStatus.ZERO;
    private static final int HOLE = BlockStatus.ZERO | BlockStatus.HOLE;

    private static Path directory = Path.of("");

    @BeforeContainer
    static void begin() throws IOException {
        directory = Files.createTempDirectory("allocation");
    }

    @AfterContainer
    static void end() throws IOException {
        Files.deleteIfExists(directory.resolve("image"));
        Files.delete(directory);
    }

    /** One change: where, how long, what, and whether it is in the image or in the journal. */
    record Change(int block, int count, RecordKind kind, boolean journaled) {}

    @Provide
    Arbitrary<List<Change>> changes() {
        return Combinators.combine(
                        Arbitraries.integers().between(0, BLOCKS - 1),
                        Arbitraries.integers().between(1, 24),
                        Arbitraries.of(RecordKind.WRITE, RecordKind.WRITE, RecordKind.TRIM, RecordKind.ZERO),
                        Arbitraries.of(true, false))
                .as((block, count, kind, journaled) ->
                        new Change(block, Math.min(count, BLOCKS - block), kind, journaled))
                .list()
                .ofMaxSize(12);
    }

    private static VolumeImage image() throws IOException {
        Path path = directory.resolve("image");
        Files.deleteIfExists(path);
        return VolumeImage.open(StoreFiles.SYSTEM, "disk", path, SIZE, false);
    }

    @Property(tries = 300)
    void everyExtentIsTheModels(
            @ForAll("changes") List<Change> changes,
            @ForAll @IntRange(max = (int) SIZE - 1) int offset,
            @ForAll @IntRange(min = 1, max = 9) int limit)
            throws IOException {
        try (VolumeImage image = image();
                Arena arena = Arena.ofConfined()) {
            assumeThat(image.nextData(0)).as("a file system that tells holes").isEqualTo(SIZE);
            Overlay overlay = new Overlay();
            int[] model = new int[BLOCKS];
            Arrays.fill(model, HOLE);
            MemorySegment ones = arena.allocate(SIZE).fill((byte) 1);
            for (Change change : changes) {
                if (!change.journaled()) {
                    apply(change, image, ones);
                    mark(change, model, change.kind() == RecordKind.WRITE ? DATA : HOLE);
                }
            }
            long sequence = 0;
            for (Change change : changes) {
                if (change.journaled()) {
                    overlay.insert(new JournalRecord(
                            Segments.untouchable(),
                            0,
                            change.kind(),
                            ++sequence,
                            (long) change.block() * BLOCK,
                            (long) change.count() * BLOCK));
                    mark(
                            change,
                            model,
                            switch (change.kind()) {
                                case WRITE -> DATA;
                                case ZERO -> ZERO;
                                default -> HOLE;
                            });
                }
            }
            check(new Allocation(image, overlay), model, offset, limit);
        }
    }

    private static void apply(Change change, VolumeImage image, MemorySegment ones) throws IOException {
        long start = (long) change.block() * BLOCK;
        long bytes = (long) change.count() * BLOCK;
        if (change.kind() == RecordKind.WRITE) {
            image.write(start, ones.asSlice(0, bytes));
        } else {
            image.clear(start, bytes, true);
        }
    }

    private static void mark(Change change, int[] model, int flags) {
        Arrays.fill(model, change.block(), change.block() + change.count(), flags);
    }

    private static void check(Allocation allocation, int[] model, long offset, int limit) throws IOException {
        long at = offset;
        int previous = -1;
        int asked = 0;
        while (at < SIZE) {
            StatusList list = new StatusList(at, SIZE - at, limit);
            allocation.fill(list, SIZE, Horizon.NEWEST);
            List<BlockStatus> extents = list.finish();
            assertThat(extents).isNotEmpty().hasSizeLessThanOrEqualTo(limit);
            for (BlockStatus extent : extents) {
                assertThat(extent.flags()).isNotEqualTo(previous);
                previous = extent.flags();
                for (long byteAt = at; byteAt < at + extent.lengthBytes(); byteAt += BLOCK - byteAt % BLOCK) {
                    assertThat(extent.flags()).as("at %d", byteAt).isEqualTo(model[(int) (byteAt / BLOCK)]);
                }
                at += extent.lengthBytes();
            }
            assertThat(++asked).isLessThanOrEqualTo(BLOCKS);
        }
        assertThat(at).isEqualTo(SIZE);
    }

    @Property(tries = 1)
    void aHugeSparseVolumeIsOneHole() throws IOException {
        Path path = directory.resolve("huge");
        try (VolumeImage image = VolumeImage.open(StoreFiles.SYSTEM, "huge", path, 2L << 40, false)) {
            StatusList list = new StatusList(0, 2L << 40, 1);
            new Allocation(image, new Overlay()).fill(list, 2L << 40, Horizon.NEWEST);
            assertThat(list.finish()).containsExactly(new BlockStatus(2L << 40, HOLE));
        } finally {
            Files.delete(path);
        }
    }

    /** A journal full of little trims and writes: the answer stops at its limit, and every call does a bounded piece of work. */
    @Property(tries = 1)
    void anAnswerHasALimit() throws IOException {
        List<BlockStatus> found = new ArrayList<>();
        try (VolumeImage image = image()) {
            Overlay overlay = new Overlay();
            for (int i = 0; i < 5_000; i++) {
                RecordKind kind = i % 2 == 0 ? RecordKind.WRITE : RecordKind.TRIM;
                overlay.insert(new JournalRecord(Segments.untouchable(), 0, kind, i + 1, i * 16L, 16));
            }
            StatusList list = new StatusList(0, SIZE, 3_000);
            new Allocation(image, overlay).fill(list, SIZE, Horizon.NEWEST);
            found.addAll(list.finish());
        }
        assertThat(found).hasSize(3_000);
        assertThat(found.get(2_999)).isEqualTo(new BlockStatus(16, HOLE));
    }
}
