package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What reaches the image, in how many steps, and when the journal is let go. */
class ApplierTest {
    private static final int BLOCKS = 256;
    private static final int JOURNAL_LIMIT = 4 << 20;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private final List<Call> calls = Collections.synchronizedList(new ArrayList<>());
    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        start(Duration.ofMillis(10));
    }

    private void start(Duration applyInterval) throws IOException {
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), BLOCKS * Blocks.BYTES)))
                .journal(JournalSettings.DEFAULT
                        .withSizes(JOURNAL_LIMIT, 1 << 20)
                        .withApplyInterval(applyInterval))
                .files(files)
                .build());
        engine = new Engine(server, "vm1", "disk");
    }

    private void restart() throws IOException {
        server.close();
        start();
    }

    @AfterEach
    void stop() {
        files.heal();
        server.close();
    }

    private static boolean isImage(Path path) {
        return path.endsWith("disk.img");
    }

    /** The image takes nothing until {@link #letImageGo}; so what is committed gathers. */
    private void holdImage() {
        files.inject((call, path) -> {
            if (isImage(path) && call != Call.READ) {
                throw new IOException("injected");
            }
        });
    }

    /** From now on what is done to the image is told. */
    private void letImageGo() {
        files.inject((call, path) -> {
            if (isImage(path) && call != Call.READ) {
                calls.add(call);
            }
        });
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
    }

    private void protectAtEpochOne() {
        engine.protect();
        engine.seal(1);
        engine.commit(1);
    }

    private void endEpoch(long epoch) {
        engine.seal(epoch);
        engine.commit(epoch);
    }

    @Test
    void neighboursGoInOneWriteInWhateverOrderTheyCame() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        holdImage();
        List<Integer> order = new ArrayList<>();
        // As many as lie in one segment.
        int blocks = 200;
        for (int block = 0; block < blocks; block++) {
            order.add(block);
        }
        Collections.shuffle(order, new Random(1));
        for (int block : order) {
            Blocks.write(primary, block, 'a' + block % 26);
        }
        endEpoch(2);
        letImageGo();
        assertThat(calls).containsExactly(Call.WRITE, Call.SYNC);
        byte[] image = output("cat", directory.resolve("disk.img").toString());
        for (int block = 0; block < blocks; block++) {
            assertThat(image[block * Blocks.BYTES + block]).isEqualTo((byte) ('a' + block % 26));
        }
    }

    @Test
    void whatIsWrittenOftenGoesToTheImageOnceAndTheLastOneStands() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        holdImage();
        Blocks.write(primary, 7, 'a');
        endEpoch(2);
        // The first of these layers is taken already; the others gather behind it.
        Awaitility.await().until(() -> engine.volume().overlay().committedBytes() == 0);
        for (int epoch = 3; epoch < 20; epoch++) {
            Blocks.write(primary, 7, 'a' + epoch);
            endEpoch(epoch);
        }
        letImageGo();
        assertThat(calls).containsExactly(Call.WRITE, Call.SYNC, Call.WRITE, Call.SYNC);
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 7)).isEqualTo('a' + 19);
    }

    @Test
    void commitsGatherUntilTheyFillTheVolumesShareOfTheJournal() throws Exception {
        server.close();
        start(Duration.ofHours(1));
        protectAtEpochOne();
        letImageGo();
        int epoch = 1;
        while (server.journalBudget().usedBytes() < JOURNAL_LIMIT / 4) {
            Blocks.write(engine.primary(), epoch % BLOCKS, 'a');
            epoch++;
            endEpoch(epoch);
        }
        assertThat(calls).isEmpty();
        while (calls.isEmpty()) {
            assertThat(server.journalBudget().usedBytes())
                    .as("used without a fold")
                    .isLessThan(JOURNAL_LIMIT);
            Blocks.write(engine.primary(), epoch % BLOCKS, 'b');
            epoch++;
            endEpoch(epoch);
        }
        Awaitility.await().until(() -> server.journalBudget().usedBytes() < JOURNAL_LIMIT / 4);
    }

    @Test
    void whatFailedIsTriedAgainLongBeforeCommitsHaveGathered() throws Exception {
        server.close();
        start(Duration.ofHours(1));
        protectAtEpochOne();
        AtomicInteger failed = new AtomicInteger();
        files.inject((call, path) -> {
            if (isImage(path) && call == Call.WRITE) {
                failed.incrementAndGet();
                throw new IOException("injected");
            }
        });
        for (int epoch = 2; failed.get() == 0; epoch++) {
            Blocks.write(engine.primary(), epoch % BLOCKS, 'a');
            endEpoch(epoch);
        }
        files.heal();
        Awaitility.await().until(() -> server.journalBudget().usedBytes() < JOURNAL_LIMIT / 4);
    }

    @Test
    void theJournalIsLetGoOnlyWhenTheImageIsSynced() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        long applied = engine.volume().marks().applied();
        FaultyFiles.Held sync = files.hold(Call.SYNC, "disk.img");
        Blocks.write(primary, 0, 'a');
        endEpoch(2);
        sync.awaitReached();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('a');
        assertThat(engine.volume().marks().applied()).isEqualTo(applied);
        assertThat(server.journalBudget().usedBytes()).isPositive();
        sync.release();
        Awaitility.await().until(() -> server.journalBudget().usedBytes() == 0);
        assertThat(engine.volume().marks().applied()).isGreaterThan(applied);
    }

    @Test
    void trimsAndZeroesStaySparse() throws Exception {
        protectAtEpochOne();
        ExportView primary = engine.primary();
        for (int block = 0; block < BLOCKS; block++) {
            Blocks.write(primary, block, 'x');
        }
        endEpoch(2);
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        Path image = directory.resolve("disk.img");
        long full = allocatedBytes(image);
        assertThat(full).isGreaterThanOrEqualTo(BLOCKS * Blocks.BYTES);

        holdImage();
        int half = BLOCKS / 2;
        for (int block = 0; block < half / 2; block++) {
            primary.trim((long) block * Blocks.BYTES, Blocks.BYTES, false);
        }
        primary.writeZeroes((long) half / 2 * Blocks.BYTES, (long) half / 2 * Blocks.BYTES, true, false);
        primary.writeZeroes((long) half * Blocks.BYTES, (long) half * Blocks.BYTES, false, false);
        endEpoch(3);
        letImageGo();
        assertThat(calls).containsOnlyOnce(Call.SYNC).doesNotContain(Call.WRITE);
        assertThat(calls).as("neighbouring trims are one").hasSize(3);
        // The one half is a hole, the other one zero and reserved.
        assertThat(allocatedBytes(image)).isLessThanOrEqualTo(full - (long) half * Blocks.BYTES);
        assertThat(allocatedBytes(image)).isGreaterThanOrEqualTo((long) (BLOCKS - half) * Blocks.BYTES);
        assertThat(output("cat", image.toString())).containsOnly(0);
    }

    private static long allocatedBytes(Path file) throws IOException {
        return Long.parseLong(new String(output("stat", "-c", "%b", file.toString()), StandardCharsets.UTF_8).strip())
                * 512;
    }

    /** Another process looks: closing a second descriptor of the image here would drop the server's lock. */
    private static byte[] output(String... command) throws IOException {
        return new ProcessBuilder(command).start().getInputStream().readAllBytes();
    }

    @Test
    void whatAnotherVmDoesDoesNotEndAVmsGathering() throws Exception {
        Engine other = startWithAnother(Duration.ofHours(1));
        protectAtEpochOne();
        Blocks.write(engine.primary(), 0, 'a');
        endEpoch(2);
        for (int epoch = 1; epoch <= 20; epoch++) {
            other.open("hostA");
            other.beginProtect("hostB");
            Blocks.write(other.primary(), epoch, 'b');
            other.seal(epoch);
            other.commit(epoch);
            other.close();
            other.awaitDirect();
        }
        assertThat(engine.volume().overlay().committedLayers()).isPositive();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isZero();
    }

    /** A second VM beside the first. */
    private Engine startWithAnother(Duration applyInterval) throws IOException {
        server.close();
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(
                                VolumeSpec.existing("disk", directory.resolve("disk.img")),
                                VolumeSpec.created("other", directory.resolve("other.img"), BLOCKS * Blocks.BYTES)))
                .journal(JournalSettings.DEFAULT.withApplyInterval(applyInterval))
                .files(files)
                .build());
        engine = new Engine(server, "vm1", "disk");
        return new Engine(server, "vm2", "other");
    }

    @Test
    void anImageThatDoesNotAnswerHoldsUpNoOther() throws Exception {
        Engine other = startWithAnother(Duration.ofMillis(10));
        protectAtEpochOne();
        other.protect();
        other.seal(1);
        other.commit(1);
        FaultyFiles.Held write = files.hold(Call.WRITE, "disk.img");
        Blocks.write(engine.primary(), 0, 'a');
        endEpoch(2);
        write.awaitReached();
        for (int epoch = 2; epoch < 5; epoch++) {
            Blocks.write(other.primary(), 0, 'a' + epoch);
            other.seal(epoch);
            other.commit(epoch);
            Awaitility.await().until(() -> other.volume().overlay().isEmpty());
            assertThat(Blocks.inFile(directory.resolve("other.img"), 0)).isEqualTo('a' + epoch);
        }
        assertThat(engine.volume().overlay().isEmpty()).isFalse();
        write.release();
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
    }

    @Test
    void itIsStartedAgainWhereverItWasInterrupted() throws Exception {
        protectAtEpochOne();
        long epoch = 1;
        Random random = new Random(1);
        int[] model = new int[BLOCKS];
        int interrupted = 0;
        // One more step is let through each time, until a fold gets through.
        for (int steps = 0; interrupted == steps; steps++) {
            ExportView primary = engine.primary();
            AtomicInteger left = new AtomicInteger(steps);
            AtomicInteger failed = new AtomicInteger();
            files.inject((call, path) -> {
                if (isImage(path) && call != Call.READ && call != Call.OPEN && left.getAndDecrement() <= 0) {
                    failed.incrementAndGet();
                    throw new IOException("injected");
                }
            });
            for (int i = 0; i < 12; i++) {
                int block = random.nextInt(BLOCKS);
                if (random.nextInt(4) == 0) {
                    primary.trim((long) block * Blocks.BYTES, Blocks.BYTES, false);
                    model[block] = 0;
                } else {
                    model[block] = 'a' + random.nextInt(26);
                    Blocks.write(primary, block, model[block]);
                }
            }
            epoch++;
            endEpoch(epoch);
            Awaitility.await()
                    .until(() -> failed.get() > 0 || engine.volume().overlay().isEmpty());
            if (failed.get() > 0) {
                interrupted++;
            }
            restart();
            for (int block = 0; block < BLOCKS; block++) {
                assertThat(Blocks.read(engine.standby(), block))
                        .as("block %d", block)
                        .isEqualTo(model[block]);
            }
            files.heal();
            Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
            for (int block = 0; block < BLOCKS; block++) {
                assertThat(Blocks.read(engine.primary(), block))
                        .as("block %d", block)
                        .isEqualTo(model[block]);
            }
        }
        assertThat(interrupted).isGreaterThan(5);
    }
}
