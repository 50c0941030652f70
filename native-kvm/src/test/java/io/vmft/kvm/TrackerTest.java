package io.vmft.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The tracker against a library that is played by this test. */
@Timeout(60)
class TrackerTest {
    private static final int SLOTS = 3;
    private static final int PAGES_PER_SLOT = 4;
    private static final long RAM_PAGES = 100;
    private static final long BLOCKS_BYTES = 1 << 20;

    @TempDir
    private Path directory = Path.of("");

    private final Backup backup = new Backup(RAM_PAGES * 4096);
    private Tracker tracker = unopened();
    private SocketChannel library = unopened();
    private MemorySegment staging = MemorySegment.NULL;

    @SuppressWarnings({"TypeParameterUnusedInFormals", "NullAway"}) // set before each test
    private static <T> T unopened() {
        return null;
    }

    @BeforeEach
    void open() throws IOException {
        backup.onChunk = chunk -> {};
        tracker = Tracker.open(
                new TrackerConfig(
                        directory.resolve("control"),
                        directory.resolve("staging"),
                        directory.resolve("state"),
                        directory.resolve("ram"),
                        RAM_PAGES * 4096,
                        directory.resolve("blocks"),
                        BLOCKS_BYTES,
                        SLOTS,
                        PAGES_PER_SLOT,
                        Duration.ofSeconds(1)),
                backup);
        backup.tracker = tracker;
        library = SocketChannel.open(StandardProtocolFamily.UNIX);
        library.connect(UnixDomainSocketAddress.of(directory.resolve("control")));
        try (FileChannel file =
                FileChannel.open(directory.resolve("staging"), StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            staging = file.map(FileChannel.MapMode.READ_WRITE, 0, file.size(), Arena.ofAuto());
        }
    }

    @AfterEach
    void close() throws IOException {
        tracker.close();
        library.close();
    }

    private static ByteBuffer message(int type, int arg, long epoch, long... values) {
        ByteBuffer message = ByteBuffer.allocate(LibraryMessage.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        message.putInt(type).putInt(arg).putLong(epoch);
        for (long value : values) {
            message.putLong(value);
        }
        return message.clear();
    }

    private void tell(int type, int arg, long epoch, long... values) throws IOException {
        library.write(message(type, arg, epoch, values));
    }

    private void greet() throws IOException {
        tell(1, NativeLibrary.ABI_VERSION, 0, 1234);
        assertThat(backup.next(backup.hellos)).isEqualTo(new Hello(NativeLibrary.ABI_VERSION, 1234));
    }

    private void hears(int type, int arg, long epoch) throws IOException {
        ByteBuffer heard = ByteBuffer.allocate(LibraryMessage.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        while (heard.hasRemaining()) {
            assertThat(library.read(heard)).isPositive();
        }
        assertThat(heard.getInt(0)).isEqualTo(type);
        assertThat(heard.getInt(4)).isEqualTo(arg);
        assertThat(heard.getLong(8)).isEqualTo(epoch);
    }

    private void endsWith(String part) throws IOException {
        assertThat(backup.next(backup.ends)).contains(part);
        assertThat(library.read(ByteBuffer.allocate(1))).isEqualTo(-1);
        tracker.close();
        assertThat(backup.ends).isEmpty();
    }

    @Test
    void aCheckpointGoesBackAndForth() throws IOException {
        greet();
        tracker.arm(7);
        hears(17, 0, 7);
        long slot = 4096 + 4096 + 2 * (4096 + PAGES_PER_SLOT * 4096L);
        ByteBuffer content = staging.asSlice(slot).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        content.putLong(0, 5).putLong(8, 98 | Chunk.ZERO_PAGE).putLong(16, 99);
        content.put(4096, (byte) 11).put(4096 + 8191, (byte) 12);
        tell(3, 2, 7, 3, 2);
        Chunk chunk = backup.next(backup.chunks);
        assertThat(chunk.epoch()).isEqualTo(7);
        assertThat(chunk.pageCount()).isEqualTo(3);
        assertThat(chunk.storedCount()).isEqualTo(2);
        assertThat(chunk.pageIndexes().remaining()).isEqualTo(24);
        assertThat(chunk.pageIndexes().getLong(16)).isEqualTo(99);
        assertThat(chunk.pages().isDirect()).isTrue();
        assertThat(chunk.pages().remaining()).isEqualTo(8192);
        assertThat(chunk.pages().get(8191)).isEqualTo((byte) 12);
        tell(4, 1, 7, 3, 10, 20, 30, 40, 5, 0, 0, 2);
        hears(18, 0, 7);
        assertThat(backup.next(backup.harvests)).isEqualTo(new Harvest(7, true, 3, 2, 10, 20, 30, 40, 5));
        assertThat(backup.image.get(ValueLayout.JAVA_BYTE, 5 * 4096)).isEqualTo((byte) 11);
        tracker.release(2);
        hears(20, 2, 0);
        tracker.voidCheckpoint(7);
        hears(19, 0, 7);
    }

    @Test
    void messagesComeInAnyPieces() throws IOException {
        greet();
        ByteBuffer all = ByteBuffer.allocate(3 * LibraryMessage.BYTES);
        all.put(message(3, 1, 1, 1, 1))
                .put(message(3, 0, 1, 1, 1))
                .put(message(4, 0, 1))
                .flip();
        for (int piece : new int[] {1, 7, 127, 128, 129, 383}) {
            for (int at = 0; at < all.capacity(); at += piece) {
                library.write(all.slice(at, Math.min(piece, all.capacity() - at)));
            }
            assertThat(backup.next(backup.harvests).valid()).isFalse();
            for (int slot = 1; slot >= 0; slot--) {
                tracker.release(backup.next(backup.chunks).slot());
                hears(20, slot, 0);
            }
        }
    }

    @Test
    void theStagingFileSaysWhatWasConfigured() throws IOException {
        ByteBuffer header = staging.asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        assertThat(header.getLong(0)).isEqualTo(0x3147545354464d56L);
        assertThat(header.getInt(8)).isEqualTo(NativeLibrary.ABI_VERSION);
        assertThat(header.getInt(12)).isEqualTo(4096);
        assertThat(header.getLong(16)).isEqualTo(RAM_PAGES * 4096);
        assertThat(header.getInt(24)).isEqualTo(SLOTS);
        assertThat(header.getInt(28)).isEqualTo(PAGES_PER_SLOT);
        assertThat(header.getLong(72)).isEqualTo(1_000_000_000L);
        assertThat(header.getLong(80)).isEqualTo(staging.byteSize());
        assertThat(header.getLong(88)).isEqualTo(BLOCKS_BYTES);
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve("staging"))))
                .isEqualTo("rw-------");
        assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(directory.resolve("control"))))
                .isEqualTo("rw-------");
    }

    @Test
    void theEnvironmentNamesTheSamePaths() {
        assertThat(tracker.environment())
                .containsEntry("VMFT_CONTROL", directory.resolve("control").toString())
                .containsEntry("VMFT_BLOCKS", directory.resolve("blocks").toString())
                .containsEntry("VMFT_STAGING", directory.resolve("staging").toString())
                .containsEntry("VMFT_STATE_FILE", directory.resolve("state").toString())
                .containsEntry("VMFT_RAM", directory.resolve("ram").toString())
                .containsEntry(
                        "VMFT_PARENT_PID", Long.toString(ProcessHandle.current().pid()));
        assertThat(tracker.environment().get("LD_PRELOAD")).endsWith("/libvmft.so");
    }

    @Test
    void aLiveHarvestIsACopyOfTheBitmap() throws Exception {
        greet();
        CompletableFuture<DirtyBitmap> future = tracker.harvestLive();
        hears(21, 0, 1);
        assertThat(tracker.harvestLive()).isCompletedExceptionally();
        ByteBuffer area = staging.asSlice(4096).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
        area.putLong(0, 6).putLong(8, 1L << 35);
        tell(5, 0, 1, 3);
        DirtyBitmap bitmap = future.get(20, TimeUnit.SECONDS);
        area.putLong(0, 0);
        assertThat(bitmap.isDirty(1)).isTrue();
        assertThat(bitmap.nextDirty(3)).isEqualTo(99);
        assertThat(bitmap.dirtyPages()).isEqualTo(3);

        area.putLong(8, 0);
        CompletableFuture<DirtyBitmap> second = tracker.harvestLive();
        hears(21, 0, 2);
        tell(5, 0, 2, 0);
        assertThat(second.get(20, TimeUnit.SECONDS).dirtyPages()).isZero();
    }

    @Test
    void aPreCopyCompletesBeforeThePause() throws IOException {
        greet();
        CompletableFuture<Void> future = tracker.armAndPreCopy(7, false);
        hears(17, 2, 7);
        assertThat(tracker.armAndPreCopy(8, false))
                .failsWithin(Duration.ZERO)
                .withThrowableThat()
                .withCauseInstanceOf(IllegalStateException.class);
        tell(3, 2, 7, 1, 1);
        assertThat(backup.next(backup.chunks).epoch()).isEqualTo(7);
        assertThat(future).isNotDone();
        tell(10, 0, 7);
        assertThat(future).succeedsWithin(Duration.ofSeconds(20));
        assertThat(tracker.armAndPreCopy(8, true)).isNotDone();
        hears(17, 3, 8);
        tell(10, 0, 9);
        endsWith("epoch 9, which was not asked for");
    }

    @Test
    void aPreCopyFailsWithTheConnection() throws Exception {
        assertThat(tracker.armAndPreCopy(1, false)).isCompletedExceptionally();
        greet();
        CompletableFuture<Void> future = tracker.armAndPreCopy(2, false);
        library.close();
        assertThatThrownBy(() -> future.get(20, TimeUnit.SECONDS))
                .isInstanceOf(ExecutionException.class)
                .hasCauseInstanceOf(IOException.class);
        assertThat(backup.next(backup.ends)).isEqualTo("null");
        assertThat(tracker.armAndPreCopy(3, false)).isCompletedExceptionally();
    }

    @Test
    void aLiveHarvestFailsWithTheConnection() throws Exception {
        greet();
        CompletableFuture<DirtyBitmap> future = tracker.harvestLive();
        library.close();
        assertThatThrownBy(() -> future.get(20, TimeUnit.SECONDS))
                .isInstanceOf(ExecutionException.class)
                .hasCauseInstanceOf(IOException.class);
        assertThat(backup.next(backup.ends)).isEqualTo("null");
        assertThat(tracker.harvestLive()).isCompletedExceptionally();
    }

    @Test
    void nothingIsSentBeforeTheLibraryGreets() throws IOException {
        assertThatThrownBy(() -> tracker.arm(1)).isInstanceOf(IOException.class);
        assertThat(tracker.harvestLive()).isCompletedExceptionally();
        tracker.sealed(1);
        greet();
        tracker.arm(2);
        hears(17, 0, 2);
    }

    @Test
    void anInterruptedThreadMayArm() throws IOException {
        greet();
        Thread.currentThread().interrupt();
        tracker.arm(1);
        assertThat(Thread.interrupted()).isTrue();
        hears(17, 0, 1);
    }

    @Test
    void onlySlotsThatAreOutAreReleased() throws IOException {
        greet();
        assertThatThrownBy(() -> tracker.release(0)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> tracker.release(SLOTS)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> tracker.release(-1)).isInstanceOf(IndexOutOfBoundsException.class);
        tell(3, 0, 1, 1, 1);
        backup.next(backup.chunks);
        tracker.release(0);
        assertThatThrownBy(() -> tracker.release(0)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void anotherVersionIsRefused() throws IOException {
        tell(1, NativeLibrary.ABI_VERSION + 1, 0, 1);
        endsWith("speaks version " + (NativeLibrary.ABI_VERSION + 1));
    }

    @Test
    void whoDoesNotGreetIsRefused() throws IOException {
        tell(10, 0, 1);
        endsWith("did not greet");
        assertThat(backup.hellos).isEmpty();
    }

    @Test
    void aSecondGreetingIsRefused() throws IOException {
        greet();
        tell(1, 1, 0, 1);
        endsWith("greeted twice");
    }

    @Test
    void anUnknownMessageEndsTheConnection() throws IOException {
        greet();
        tell(99, 0, 0);
        endsWith("unknown type 99");
    }

    @Test
    void theLibrarysErrorIsPassedOn() throws IOException {
        tell(6, 1, 0, 0x6d6f6f62L);
        endsWith("boom");
    }

    @Test
    void chunksOutOfRangeEndTheConnection() throws IOException {
        greet();
        tell(3, SLOTS, 1, 1);
        endsWith("filled slot 3");
    }

    @Test
    void chunksWithTooManyPagesEndTheConnection() throws IOException {
        greet();
        tell(3, 0, 1, PAGES_PER_SLOT + 1);
        endsWith("with 5 pages");
    }

    @Test
    void emptyChunksEndTheConnection() throws IOException {
        greet();
        tell(3, 0, 1, 0);
        endsWith("with 0 pages");
    }

    @Test
    void aChunkWithMorePagesThanIndexesEndsTheConnection() throws IOException {
        greet();
        tell(3, 0, 1, 1, 2);
        endsWith("1 pages, 2 not zero");
    }

    @Test
    void aSlotThatIsOutIsNotFilledAgain() throws IOException {
        greet();
        tell(3, 1, 1, 1, 1);
        tell(3, 1, 1, 1, 1);
        endsWith("which it did not own");
    }

    @Test
    void aLiveHarvestNotAskedForEndsTheConnection() throws IOException {
        greet();
        tell(5, 0, 1, 0);
        endsWith("was not asked for");
    }

    @Test
    void aBitmapThatDoesNotAgreeWithItsCountEndsTheConnection() throws Exception {
        greet();
        CompletableFuture<DirtyBitmap> future = tracker.harvestLive();
        hears(21, 0, 1);
        tell(5, 0, 1, 5);
        endsWith("counted 5 dirty pages and showed 0");
        assertThat(future).isCompletedExceptionally();
    }

    @Test
    void bitsBeyondRamEndTheConnection() throws Exception {
        greet();
        CompletableFuture<DirtyBitmap> future = tracker.harvestLive();
        hears(21, 0, 1);
        staging.asSlice(4096).asByteBuffer().order(ByteOrder.LITTLE_ENDIAN).putLong(8, 1L << 36);
        tell(5, 0, 1, 1);
        endsWith("bits set beyond page 100");
        assertThat(future).isCompletedExceptionally();
    }

    @Test
    void aListenerThatThrowsEndsTheConnection() throws IOException {
        greet();
        backup.onHarvested = epoch -> {
            throw new IllegalStateException("broken engine");
        };
        tell(4, 1, 1);
        endsWith("broken engine");
    }

    @Test
    void halfAMessageAtTheEndIsAnError() throws IOException {
        greet();
        library.write(message(4, 0, 1).limit(10));
        library.close();
        assertThat(backup.next(backup.ends)).contains("middle of a message");
    }

    @Test
    void memoryBesideGuestRamIsReportedAndThenFrozen() throws Exception {
        greet();
        assertThat(Files.size(directory.resolve("blocks"))).isEqualTo(BLOCKS_BYTES);
        tell(7, 1, 0, 8192);
        tell(7, 2, 0, 4096);
        CompletableFuture<RamLayout> frozen = tracker.freeze();
        hears(22, 0, 0);
        tell(8, 0, 0, RAM_PAGES + 3);
        RamLayout layout = frozen.get(10, TimeUnit.SECONDS);
        assertThat(layout).isEqualTo(new RamLayout(RAM_PAGES, java.util.List.of(2L, 1L)));
        assertThat(layout.pages()).isEqualTo(RAM_PAGES + 3);
        CompletableFuture<DirtyBitmap> live = tracker.harvestLive();
        hears(21, 0, 1);
        // The last page of the last block is page 102.
        staging.set(ValueLayout.JAVA_LONG.withOrder(ByteOrder.LITTLE_ENDIAN), 4096 + 8, 1L << 102);
        tell(5, 0, 1, 1);
        assertThat(live.get(10, TimeUnit.SECONDS).nextDirty(0)).isEqualTo(102);
    }

    @Test
    void aLibraryThatLostCountOfItsBlocksIsNotTrusted() throws IOException {
        greet();
        tell(7, 1, 0, 8192);
        CompletableFuture<RamLayout> frozen = tracker.freeze();
        tell(8, 0, 0, RAM_PAGES + 3);
        assertThat(backup.next(backup.ends)).contains("counts 103 pages");
        assertThat(frozen).isCompletedExceptionally();
    }

    @Test
    void blocksAreNumberedOneByOne() throws IOException {
        greet();
        tell(7, 2, 0, 8192);
        endsWith("reported block 2 of 8192 bytes after 0 others");
    }

    @Test
    void whatCannotBeListenedOnIsNamedAndLeavesNothing() throws IOException {
        Path taken = directory.resolve("taken");
        Files.createDirectories(taken.resolve("inside"));
        TrackerConfig config = new TrackerConfig(
                taken,
                directory.resolve("staging2"),
                directory.resolve("state"),
                directory.resolve("ram"),
                4096,
                directory.resolve("blocks2"),
                0,
                1,
                1,
                Duration.ofSeconds(1));
        assertThatThrownBy(() -> Tracker.open(config, backup))
                .isInstanceOf(IOException.class)
                .hasMessageContaining(taken.toString());
        assertThat(directory.resolve("staging2")).doesNotExist();
        assertThat(directory.resolve("blocks2")).doesNotExist();
    }

    @Test
    void closingTellsTheListenerOnceAndRemovesTheFiles() throws IOException {
        greet();
        tracker.close();
        tracker.close();
        assertThat(backup.next(backup.ends)).isEqualTo("null");
        assertThat(backup.ends).isEmpty();
        assertThat(library.read(ByteBuffer.allocate(1))).isEqualTo(-1);
        assertThat(directory).isEmptyDirectory();
        assertThatThrownBy(() -> tracker.arm(1)).isInstanceOf(IOException.class);
    }

    @Test
    void closingDoesNotWaitForASilentPeer() {
        tracker.close();
        assertThat(backup.next(backup.ends)).isEqualTo("null");
    }

    @Test
    void aListenerMayClose() throws IOException {
        greet();
        backup.onHarvested = epoch -> tracker.close();
        tell(4, 1, 1);
        endsWith("null");
    }

    @Test
    void aChunksBuffersOutliveTheTracker() throws IOException {
        greet();
        tell(3, 0, 1, 1, 1);
        Chunk chunk = backup.next(backup.chunks);
        tracker.close();
        assertThat(chunk.pages().get(4095)).isZero();
    }
}
