package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.export.SyncFailedException;
import io.vmft.blk.file.ScratchDisk;
import io.vmft.proto.blk.v1.Refusal.Code;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A server on disks of its own that really fill up, fail and turn read-only. */
class DiskFaultsIT {
    private static final int VOLUME_BYTES = 48 << 20;
    private static final int BLOCKS = VOLUME_BYTES / Blocks.BYTES;
    private static final int LIMIT = 8 << 20;
    private static final int SEGMENT = 1 << 20;

    @TempDir
    private Path directory;

    private @Nullable ScratchDisk disk;
    private @Nullable BlkServer server;

    /** Starts the server anew, and returns the engine of the VM on its first volume. */
    private Engine start(Path data, Path... images) throws IOException {
        if (server != null) {
            server.close();
        }
        List<VolumeSpec> volumes = new ArrayList<>();
        for (int i = 0; i < images.length; i++) {
            volumes.add(VolumeSpec.created("disk" + i, images[i], VOLUME_BYTES));
        }
        server = BlkServer.start(BlkServerConfig.forTest(data, volumes)
                .journal(JournalSettings.DEFAULT
                        .withSizes(LIMIT, SEGMENT)
                        .withApplyInterval(Duration.ofMillis(20))
                        .withWriterPatience(Duration.ofMillis(20)))
                .build());
        return engine(0);
    }

    private BlkServer running() {
        return Objects.requireNonNull(server);
    }

    private Engine engine(int number) {
        return new Engine(running(), "vm" + number, "disk" + number);
    }

    @AfterEach
    void stop() throws Exception {
        if (server != null) {
            server.close();
        }
        if (disk != null) {
            disk.close();
        }
    }

    private static void protectAtEpochOne(Engine engine) {
        engine.protect();
        engine.seal(1);
        engine.commit(1);
    }

    private static int fill(int block) {
        return 'a' + block % 26;
    }

    /** Writes one block after the other, as {@code each} says, until there is no room; the blocks that were acknowledged. */
    private static int writeUntilFull(ExportView view, Runnable each) throws IOException {
        for (int block = 0; block < BLOCKS; block++) {
            try {
                Blocks.write(view, block, fill(block));
            } catch (NoSpaceException e) {
                return block;
            }
            each.run();
        }
        throw new AssertionError("never full");
    }

    private static void check(ExportView view, int blocks) throws IOException {
        for (int block = 0; block < blocks; block++) {
            assertThat(Blocks.read(view, block)).as("block %d", block).isEqualTo(fill(block));
        }
    }

    @Test
    void aFullJournalDiskIsENOSPCForWritersAndCommitsGoOn() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 96 << 20);
        Engine engine = start(disk.path().resolve("data"), directory.resolve("disk.img"));
        protectAtEpochOne(engine);
        ExportView primary = engine.primary();
        disk.fill();
        int written = writeUntilFull(primary, () -> {});
        assertThat(written).isLessThan(LIMIT / Blocks.BYTES);
        engine.seal(2);
        engine.commit(2);
        check(primary, written);
        assertThatThrownBy(() -> {
                    // What was committed goes to the image, and its segments are used again: room for a few blocks each
                    // time.
                    for (int block = 0; ; block++) {
                        Blocks.write(primary, block, fill(block));
                    }
                })
                .isInstanceOf(NoSpaceException.class);

        disk.makeRoom();
        for (int block = 0; block < written + 100; block++) {
            Blocks.write(primary, block, fill(block));
        }
        engine.seal(3);
        engine.commit(3);
        check(engine.standby(), written + 100);
    }

    @Test
    void theJournalNeverTakesTheRoomOfItsIndex() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 40 << 20);
        Engine engine = start(disk.path().resolve("data"), directory.resolve("disk.img"));
        protectAtEpochOne(engine);
        ExportView primary = engine.primary();
        int written = writeUntilFull(primary, () -> {});
        engine.seal(2);
        engine.commit(2);
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        Blocks.write(primary, 0, 'z');
        engine.seal(3);
        engine.commit(3);
        assertThat(Blocks.read(engine.standby(), 0)).isEqualTo('z');
        assertThat(written).isPositive();
    }

    @Test
    void aServerIsNotStartedOnAFullDiskAndSaysWhatToDo() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 64 << 20);
        Path data = disk.path().resolve("data");
        Path image = directory.resolve("disk.img");
        Engine engine = start(data, image);
        protectAtEpochOne(engine);
        Blocks.write(engine.primary(), 0, 'x');
        engine.seal(2);
        running().close();
        disk.fill();
        assertThatThrownBy(() -> start(data, image))
                .hasMessageContaining("No space left on device")
                .hasMessageContaining("make room");
        disk.makeRoom();
        Engine again = start(data, image);
        again.commit(2);
        assertThat(Blocks.read(again.primary(), 0)).isEqualTo('x');
    }

    @Test
    void aFullImageDiskIsENOSPCForAnUnprotectedVolumeUntilThereIsRoom() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 32 << 20);
        Engine engine = start(directory.resolve("data"), disk.path().resolve("disk.img"));
        ExportView bare = engine.bare();
        int written = writeUntilFull(bare, () -> {});
        bare.flush();
        check(bare, written);
        assertThat(Blocks.read(bare, written)).isZero();
        assertThatThrownBy(() -> Blocks.write(bare, written, 'x')).isInstanceOf(NoSpaceException.class);
        bare.trim(0, (long) written * Blocks.BYTES, false);
        Blocks.write(bare, written, 'x');
        bare.flush();
        assertThat(Blocks.read(bare, written)).isEqualTo('x');
    }

    @Test
    void aFullImageDiskIsENOSPCForAProtectedVolumeWhenTheJournalIsFullTooAndStopsNoOther() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 32 << 20);
        Path full = disk.path().resolve("disk.img");
        Engine engine = start(directory.resolve("data"), full, directory.resolve("other.img"));
        protectAtEpochOne(engine);
        Engine other = engine(1);
        protectAtEpochOne(other);
        ExportView primary = engine.primary();
        disk.fill();
        Epochs epochs = new Epochs(engine);
        int written = writeUntilFull(primary, epochs::maybeEnd);
        assertThat(written).isGreaterThan(LIMIT / 2 / Blocks.BYTES);
        epochs.end();
        check(engine.standby(), written);

        ExportView otherPrimary = other.primary();
        Epochs otherEpochs = new Epochs(other);
        for (int block = 0; block < 3 * LIMIT / Blocks.BYTES; block++) {
            Blocks.write(otherPrimary, block, fill(block));
            otherEpochs.maybeEnd();
        }
        otherEpochs.end();
        check(other.standby(), 3 * LIMIT / Blocks.BYTES);

        disk.makeRoom();
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        Blocks.write(primary, written, fill(written));
        epochs.end();
        engine.goSolo();
        engine.awaitDirect();
        check(engine.primary(), written + 1);
    }

    /** Ends an epoch, committed, after so many writes. */
    private static final class Epochs {
        private static final int WRITES = 64;
        private final Engine engine;
        private long epoch = 1;
        private int writes;

        Epochs(Engine engine) {
            this.engine = engine;
        }

        void maybeEnd() {
            if (++writes % WRITES == 0) {
                end();
            }
        }

        void end() {
            epoch++;
            engine.seal(epoch);
            engine.commit(epoch);
        }
    }

    @Test
    void aFailingImageDiskIsEIOAndAFailedSyncStaysOne() throws Exception {
        disk = ScratchDisk.createFragile(directory.resolve("scratch"), 64 << 20);
        Path data = directory.resolve("data");
        Path image = disk.path().resolve("disk.img");
        Engine engine = start(data, image);
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        bare.flush();
        disk.fail();
        Blocks.write(bare, 1, 'b');
        assertThatThrownBy(bare::flush)
                .isInstanceOf(SyncFailedException.class)
                .hasMessageContaining("fdatasync: Input/output error");
        disk.heal();
        Blocks.write(bare, 2, 'c');
        assertThatThrownBy(bare::flush).isInstanceOf(SyncFailedException.class).hasMessageContaining("failed before");
        Engine again = start(data, image);
        Blocks.write(again.bare(), 1, 'b');
        again.bare().flush();
        assertThat(Blocks.text(again.bare(), 2)).isEqualTo("ab");
    }

    @Test
    void aFailingDiskUnderTheImageOfAProtectedVolumeIsWrittenAgainWhenItWorks() throws Exception {
        disk = ScratchDisk.createFragile(directory.resolve("scratch"), 64 << 20);
        Engine engine = start(directory.resolve("data"), disk.path().resolve("disk.img"));
        protectAtEpochOne(engine);
        ExportView primary = engine.primary();
        disk.fail();
        Blocks.write(primary, 3, 'a');
        Epochs epochs = new Epochs(engine);
        assertThatThrownBy(() -> {
                    for (int block = 4; ; block++) {
                        Blocks.write(primary, block, fill(block));
                        epochs.maybeEnd();
                    }
                })
                .isInstanceOf(IOException.class)
                .isNotInstanceOf(NoSpaceException.class)
                .hasMessageContaining("the image takes nothing");
        assertThat(Blocks.read(primary, 3)).isEqualTo('a');
        disk.heal();
        epochs.end();
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        assertThat(Blocks.read(engine.standby(), 3)).isEqualTo('a');
    }

    @Test
    void aFailedSyncOfTheJournalIsFinalAcrossARestartToo() throws Exception {
        disk = ScratchDisk.createFragile(directory.resolve("scratch"), 128 << 20);
        Path data = disk.path().resolve("data");
        Path image = directory.resolve("disk.img");
        Engine engine = start(data, image);
        protectAtEpochOne(engine);
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        disk.fail();
        long generation = engine.record().getGeneration();
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.STORAGE_FAILED);
        disk.heal();
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.STORAGE_FAILED);
        assertThatThrownBy(() -> Blocks.write(primary, 1, 'b')).isInstanceOf(SyncFailedException.class);
        Engine again = start(data, image);
        assertThat(again.commitWith(generation, 2)).isEqualTo(Code.DATA_LOST);
        assertThat(again.takeOver("hostB", 1, 2)).isEqualTo(1);
        assertThat(Blocks.read(again.primary(), 0)).isZero();
    }

    @Test
    void aFileSystemThatTurnsReadOnlyIsEIOForWritesUntilItIsRepaired() throws Exception {
        disk = ScratchDisk.create(directory.resolve("scratch"), 64 << 20);
        Path data = directory.resolve("data");
        Path image = disk.path().resolve("disk.img");
        Engine engine = start(data, image);
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        bare.flush();
        disk.turnReadOnly();
        assertThatThrownBy(() -> Blocks.write(bare, 1, 'b'))
                .isInstanceOf(IOException.class)
                .isNotInstanceOf(NoSpaceException.class);
        assertThat(Blocks.read(bare, 0)).isEqualTo('a');
        running().close();
        assertThatThrownBy(() -> start(data, image)).hasMessageContaining("Read-only file system");
        disk.repair();
        Engine again = start(data, image);
        Blocks.write(again.bare(), 1, 'b');
        again.bare().flush();
        assertThat(Blocks.text(again.bare(), 2)).isEqualTo("ab");
    }
}
