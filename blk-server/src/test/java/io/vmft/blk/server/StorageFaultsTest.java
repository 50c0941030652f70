package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.export.SyncFailedException;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Slow, full and broken disks, and writes that are on their way when somebody else takes the volume. */
class StorageFaultsTest {
    private static final int SEGMENT = 1 << 20;
    private static final int LIMIT = 4 << 20;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        server = BlkServer.start(config());
        engine = new Engine(server, "vm1", "disk");
    }

    private BlkServerConfig config() {
        return BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), 16 << 20)))
                .journal(JournalSettings.DEFAULT
                        .withSizes(LIMIT, SEGMENT)
                        .withApplyInterval(Duration.ofMillis(10))
                        .withWriterPatience(Duration.ofMillis(20)))
                .files(files)
                .build();
    }

    private void restart() throws IOException {
        server.close();
        server = BlkServer.start(config());
        engine = new Engine(server, "vm1", "disk");
    }

    @AfterEach
    void stop() {
        files.heal();
        server.close();
    }

    private interface Action {
        void run() throws Exception;
    }

    private static final class Running {
        private final CompletableFuture<Void> result = new CompletableFuture<>();
        private final Thread thread;

        Running(Action action) {
            thread = Thread.ofPlatform().daemon().start(() -> {
                try {
                    action.run();
                    result.complete(null);
                } catch (Throwable e) {
                    result.completeExceptionally(e);
                }
            });
        }

        void awaitWaiting() {
            Awaitility.await()
                    .until(() -> thread.getState() == Thread.State.WAITING
                            || thread.getState() == Thread.State.TIMED_WAITING);
            assertThat(result).isNotDone();
        }

        void await() throws Exception {
            result.get(20, TimeUnit.SECONDS);
        }
    }

    private void protectAtEpochOne() {
        engine.protect();
        engine.seal(1);
        engine.commit(1);
    }

    /** Whether a write takes effect without waiting for anybody. */
    private static boolean journaledAtOnce(ExportView view) throws IOException {
        ByteBuf zeroes = Unpooled.directBuffer(512).writeZero(512);
        try {
            boolean alone = view.writeAtOnce(0, zeroes);
            assertThat(view.writeTogether(List.of(new ExportView.Write(0, zeroes))))
                    .isEqualTo(alone ? 1 : 0);
            return alone;
        } finally {
            zeroes.release();
        }
    }

    @Test
    void aTakeOverWaitsForAWriteThatIsBeingJournaledAndDropsIt() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        ExportView standby = engine.standby();
        FaultyFiles.Held held = files.hold(Call.WRITE, ".segment");
        Running write = new Running(() -> Blocks.write(primary, 0, 'x'));
        held.awaitReached();
        Running takeOver = new Running(() -> engine.takeOver("hostB", 1, 1));
        takeOver.awaitWaiting();
        new Running(() -> assertThat(journaledAtOnce(primary)).isFalse()).await();
        held.release();
        takeOver.await();
        write.await();
        assertThat(Blocks.read(standby, 0)).isZero();
        assertThatThrownBy(() -> Blocks.write(primary, 0, 'y')).isInstanceOf(FencedException.class);
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isZero();
    }

    @Test
    void anOpenThatFencesWaitsForAWriteThatIsOnItsWayToTheImage() throws Exception {
        engine.open("hostA");
        ExportView old = engine.primary();
        FaultyFiles.Held held = files.hold(Call.WRITE, "disk.img");
        Running write = new Running(() -> Blocks.write(old, 0, 'x'));
        held.awaitReached();
        Running open = new Running(() -> server.coordinator()
                .open(OpenRequest.newBuilder()
                        .setVm("vm1")
                        .setHost("hostB")
                        .setFence(true)
                        .addVolumes("disk")
                        .build()));
        open.awaitWaiting();
        held.release();
        open.await();
        write.await();
        ExportView current = engine.primary();
        Blocks.write(current, 0, 'n');
        assertThatThrownBy(() -> Blocks.write(old, 0, 'y')).isInstanceOf(FencedException.class);
        assertThatThrownBy(old::flush).isInstanceOf(FencedException.class);
        assertThat(Blocks.read(current, 0)).isEqualTo('n');
    }

    @Test
    void aReadThatWasOnItsWayDuringATakeOverIsNotAnswered() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        FaultyFiles.Held held = files.hold(Call.READ, "disk.img");
        Running read = new Running(() -> Blocks.read(primary, 0));
        held.awaitReached();
        engine.takeOver("hostB", 1, 1);
        held.release();
        assertThatThrownBy(read::await).hasCauseInstanceOf(FencedException.class);
    }

    @Test
    void aWriterThatWaitsForRoomDoesNotHoldUpATakeOverAndIsFencedByIt() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        assertThat(journaledAtOnce(primary)).isTrue();
        Running writer = new Running(() -> {
            for (int block = 0; ; block++) {
                Blocks.write(primary, block % 2048, 'x');
            }
        });
        long hardLimit = LIMIT + LIMIT / 4;
        // Some 250 writes, each of which waits out the writer's patience.
        Awaitility.await()
                .atMost(Duration.ofMinutes(1))
                .until(() -> server.journalBudget().usedBytes() > hardLimit - 8192);
        Awaitility.await().until(() -> server.journalBudget().waiting() == 1);
        assertThat(server.journalBudget().usedBytes()).isLessThanOrEqualTo(hardLimit);
        new Running(() -> assertThat(journaledAtOnce(primary)).isFalse()).await();
        engine.takeOver("hostB", 1, 1);
        assertThatThrownBy(writer::await).hasCauseInstanceOf(FencedException.class);
        assertThat(server.journalBudget().usedBytes()).isZero();
        assertThat(Blocks.read(engine.primary(), 5)).isZero();
    }

    @Test
    void writersGoOnWhenACommitMakesRoom() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        int blocks = 2 * LIMIT / Blocks.BYTES;
        Running writer = new Running(() -> {
            for (int block = 0; block < blocks; block++) {
                Blocks.write(primary, block, 'a' + block % 26);
            }
        });
        for (long epoch = 2; !writer.result.isDone(); epoch++) {
            Awaitility.await()
                    .until(() ->
                            writer.result.isDone() || server.journalBudget().waiting() > 0);
            engine.seal(epoch);
            engine.commit(epoch);
        }
        writer.await();
        for (int block = 0; block < blocks; block++) {
            assertThat(Blocks.read(primary, block)).isEqualTo('a' + block % 26);
        }
    }

    @Test
    void aFullJournalDiskIsToldAsSuchAndTheVolumeGoesOnWhenThereIsSpace() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        files.inject((call, path) -> {
            if (call == Call.RESERVE && path.toString().endsWith(".segment")) {
                throw new NoSpaceException("injected");
            }
        });
        assertThatThrownBy(() -> {
                    for (int block = 0; ; block++) {
                        Blocks.write(primary, block, 'x');
                    }
                })
                .isInstanceOf(NoSpaceException.class);
        files.heal();
        Blocks.write(primary, 0, 'y');
        engine.seal(2);
        engine.commit(2);
        assertThat(Blocks.read(engine.standby(), 0)).isEqualTo('y');
    }

    @Test
    void aFullImageDiskKeepsTheDataInTheJournalUntilThereIsSpace() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        files.inject((call, path) -> {
            if (call == Call.WRITE && path.toString().endsWith("disk.img")) {
                throw new NoSpaceException("injected");
            }
        });
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        engine.goSolo();
        assertThat(Blocks.read(primary, 0)).isEqualTo('a');
        restart();
        assertThat(Blocks.read(engine.primary(), 0)).isEqualTo('a');
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isZero();
        files.heal();
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('a');
    }

    @Test
    void whatIsNotSyncedIntoTheImageStaysInTheJournal() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        AtomicInteger syncs = new AtomicInteger();
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith("disk.img")) {
                syncs.incrementAndGet();
                throw new IOException("injected");
            }
        });
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        Awaitility.await().until(() -> syncs.get() >= 2);
        assertThat(engine.volume().overlay().isEmpty()).isFalse();
        assertThat(server.journalBudget().usedBytes()).isPositive();
        files.heal();
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        assertThat(server.journalBudget().usedBytes()).isZero();
        assertThat(Blocks.read(primary, 0)).isEqualTo('a');
    }

    @Test
    void aFailedFoldAlsoFailsTheFlushOfWhatOthersHadWritten() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a'); // to the image: no seal yet
        engine.seal(1);
        Blocks.write(primary, 1, 'b');
        AtomicInteger syncs = new AtomicInteger();
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith("disk.img")) {
                syncs.incrementAndGet();
                throw new IOException("injected");
            }
        });
        engine.goSolo();
        Awaitility.await().until(() -> syncs.get() > 0);
        files.heal();
        engine.awaitDirect();
        assertThatThrownBy(primary::flush).isInstanceOf(SyncFailedException.class);
        assertThat(Blocks.text(primary, 2)).isEqualTo("ab");
    }

    @Test
    void theFirstFlushSyncsWhatAKilledServerHadWritten() throws Exception {
        ExportView bare = engine.bare();
        AtomicInteger syncs = new AtomicInteger();
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith("disk.img")) {
                syncs.incrementAndGet();
            }
        });
        bare.flush();
        assertThat(syncs).hasValue(1);
        bare.flush();
        assertThat(syncs).hasValue(1);
    }

    @Test
    void aJournalThatCannotBeWrittenOrReadIsAnErrorForThatRequestOnly() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        files.inject((call, path) -> {
            if (call == Call.WRITE && path.toString().endsWith(".segment")) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> Blocks.write(primary, 0, 'a')).hasMessageContaining("injected");
        files.heal();
        Blocks.write(primary, 0, 'b');
        files.inject((call, path) -> {
            if (call == Call.READ && path.toString().endsWith(".segment")) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> Blocks.read(primary, 0)).hasMessageContaining("injected");
        engine.seal(2);
        engine.commit(2);
        files.heal();
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        assertThat(Blocks.read(primary, 0)).isEqualTo('b');
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('b');
    }

    @Test
    void anImageThatWasCutIsAnErrorBeyondItsEnd() throws Exception {
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        Blocks.write(bare, 9, 'z');
        new ProcessBuilder(
                        "truncate", "-s", "8192", directory.resolve("disk.img").toString())
                .start()
                .waitFor();
        assertThat(Blocks.read(bare, 0)).isEqualTo('a');
        assertThatThrownBy(() -> Blocks.read(bare, 9)).hasMessageContaining("the file ends before");
    }

    @Test
    void aFailedSyncOfTheImageIsFinalForFlushes() throws Exception {
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith("disk.img")) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(bare::flush).hasMessageContaining("injected");
        files.heal();
        assertThatThrownBy(bare::flush).hasMessageContaining("failed before");
    }

    @Test
    void aFailedSyncOfTheJournalRefusesCommitsAndWritesUntilARestartWhichGoesBackToTheLastCommit() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        long generation = engine.record().getGeneration();
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith(".segment")) {
                throw new IOException("injected");
            }
        });
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.STORAGE_FAILED);
        files.heal();
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.STORAGE_FAILED);
        assertThatThrownBy(() -> Blocks.write(primary, 1, 'b')).isInstanceOf(IOException.class);
        restart();
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.DATA_LOST);
        assertThat(engine.takeOver("hostB", 1, 2)).isEqualTo(1);
        assertThat(Blocks.read(engine.primary(), 0)).isZero();
    }

    @Test
    void aTakeOverThatCannotBeMadeDurableChangesNothing() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.toString().endsWith(".segment")) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> engine.takeOver("hostB", 1, 2)).hasMessageContaining("injected");
        assertThat(Blocks.read(primary, 0)).isEqualTo('a');
        assertThat(engine.record().getPrimary()).isEqualTo("hostA");
    }

    @Test
    void committedDataThatWasDamagedStopsTheVolumeAndIsNotAppliedNorServed() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        // Keep the applier from folding it before the damage is done.
        files.inject((call, path) -> {
            if (call == Call.WRITE && path.toString().endsWith("disk.img")) {
                throw new IOException("injected");
            }
        });
        Blocks.write(primary, 0, 'a');
        Blocks.write(primary, 1, 'b');
        engine.seal(2);
        engine.commit(2);
        server.close();
        Path segment = directory.resolve("data/journal/000000.segment");
        byte[] bytes = Files.readAllBytes(segment);
        int at = 0;
        while (bytes[at] != 'a' || bytes[at + 1] != 'a') {
            at++;
        }
        bytes[at + 100] ^= 1;
        Files.write(segment, bytes);
        restart();
        files.heal();
        assertThatThrownBy(() -> Blocks.read(engine.primary(), 0)).hasMessageContaining("damaged");
        assertThatThrownBy(() -> Blocks.read(engine.primary(), 7)).hasMessageContaining("damaged");
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isZero();
    }

    @Test
    void openDataThatWasDamagedGoesBackToTheLastCommit() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        Blocks.write(primary, 1, 'b');
        engine.seal(2);
        long generation = engine.record().getGeneration();
        server.close();
        Path segment = directory.resolve("data/journal/000000.segment");
        byte[] bytes = Files.readAllBytes(segment);
        int at = 0;
        while (bytes[at] != 'a' || bytes[at + 1] != 'a') {
            at++;
        }
        bytes[at + 100] ^= 1;
        Files.write(segment, bytes);
        restart();
        assertThat(engine.commitWith(generation, 2)).isEqualTo(Code.DATA_LOST);
        assertThat(engine.takeOver("hostB", 1, 2)).isEqualTo(1);
        assertThat(Blocks.text(engine.primary(), 2)).isEqualTo("..");
    }
}
