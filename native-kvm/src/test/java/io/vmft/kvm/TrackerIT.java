package io.vmft.kvm;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import java.util.zip.CRC32C;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The library in a real QEMU, with the test guest, under TCG and where it runs under KVM. */
class TrackerIT {
    private static final long RAM_BYTES = 64L << 20;

    private Path directory = Path.of("");

    @BeforeEach
    void needs() throws IOException {
        Assumptions.assumeTrue(
                Stream.of(System.getenv("PATH").split(":"))
                        .anyMatch(d -> Files.isExecutable(Path.of(d).resolve(TestQemu.BINARY))),
                "SKIPPED: " + TestQemu.BINARY + " is not installed");
        Path shared = Path.of("/dev/shm");
        Assumptions.assumeTrue(Files.isWritable(shared), "SKIPPED: no tmpfs at /dev/shm");
        directory = Files.createTempDirectory(shared, "vmft-it");
    }

    @AfterEach
    void clean() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(directory);
    }

    private TrackerConfig config(int slots, int pagesPerSlot, Duration pauseTimeout) {
        return new TrackerConfig(
                directory.resolve("control"),
                directory.resolve("staging"),
                directory.resolve("state"),
                directory.resolve("ram"),
                RAM_BYTES,
                directory.resolve("blocks"),
                1L << 28,
                slots,
                pagesPerSlot,
                pauseTimeout);
    }

    /** A tracker, its QEMU and a backup that folds what it gets. */
    private final class Rig implements AutoCloseable {
        final Backup backup = new Backup(RAM_BYTES);
        final Tracker tracker;
        final TestQemu qemu;
        long epoch;

        Rig(TrackerConfig config, TestMachine machine, String guestOptions) throws IOException {
            this(config, machine, guestOptions, Map.of());
        }

        Rig(TrackerConfig config, TestMachine machine, String guestOptions, Map<String, String> variables)
                throws IOException {
            tracker = Tracker.open(config, backup);
            backup.tracker = tracker;
            Map<String, String> environment = new HashMap<>(tracker.environment());
            environment.putAll(variables);
            try {
                qemu = TestQemu.start(directory, environment, RAM_BYTES, machine, guestOptions);
            } catch (IOException | RuntimeException e) {
                tracker.close();
                throw e;
            }
            assertThat(backup.next(backup.hellos).pid()).isEqualTo(qemu.process.pid());
        }

        Rig(TestMachine machine) throws IOException {
            this(machine, Map.of());
        }

        Rig(TestMachine machine, Map<String, String> variables) throws IOException {
            this(config(8, 256, Duration.ofSeconds(10)), machine, "seed=7 pages=2000 pace=20 report=1000", variables);
        }

        Harvest checkpoint() throws IOException {
            tracker.arm(++epoch);
            return pause();
        }

        /** One whose dirty pages are copied before the pause. */
        Harvest preCopiedCheckpoint() throws IOException {
            preCopy();
            return pause();
        }

        /** Arms an epoch and copies. */
        void preCopy() {
            assertThat(tracker.armAndPreCopy(++epoch, false)).succeedsWithin(Duration.ofSeconds(20));
        }

        private Harvest pause() throws IOException {
            assertThat(save()).startsWith("{\"return\"");
            Harvest harvest = backup.next(backup.harvests);
            assertThat(harvest.epoch()).isEqualTo(epoch);
            return harvest;
        }

        String save() throws IOException {
            return qemu.saveState();
        }

        void stop() throws IOException {
            qemu.execute("{\"execute\":\"stop\"}");
        }

        void cont() throws IOException {
            qemu.execute("{\"execute\":\"cont\"}");
        }

        /** Stops the VM, takes a checkpoint and compares all of RAM; the VM stays stopped. */
        void checkEqual() throws IOException {
            stop();
            assertThat(checkpoint().valid()).isTrue();
            assertThat(backup.firstDifference(directory.resolve("ram"), directory.resolve("blocks")))
                    .as("first page that differs at epoch %d", epoch)
                    .isEqualTo(-1);
        }

        void awaitGuest(long writes) {
            Awaitility.await()
                    .atMost(Duration.ofMinutes(2))
                    .pollInterval(Duration.ofMillis(20))
                    .until(() -> qemu.reportedWrites() >= writes);
        }

        /** Waits until the guest, which must run, has written so many times more. */
        void awaitMoreWrites(long more) throws IOException {
            MemorySegment ram = Backup.map(directory.resolve("ram"));
            long writes = Backup.countedWrites(ram) + more;
            Awaitility.await()
                    .atMost(Duration.ofMinutes(1))
                    .pollDelay(Duration.ZERO)
                    .pollInterval(Duration.ofMillis(1))
                    .until(() -> Backup.countedWrites(ram) >= writes);
        }

        @Override
        public void close() throws IOException {
            tracker.close();
            qemu.close();
        }
    }

    private static Stream<Arguments> machinesAndCrews() {
        return Stream.concat(
                Arrays.stream(TestMachine.values()).map(machine -> Arguments.of(machine, 1)),
                Stream.of(
                        Arguments.of(TestMachine.TCG, 0),
                        Arguments.of(TestMachine.TCG, 3),
                        Arguments.of(TestMachine.KVM, 3)));
    }

    /** Threads beside QEMU's own: none, those that help when it is done, and those that begin before. */
    @ParameterizedTest
    @MethodSource("machinesAndCrews")
    void theFoldedImageEqualsThePausedGuest(TestMachine machine, int threads) throws IOException {
        assumeRuns(machine);
        long seed = Long.getLong("vmft.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        try (Rig rig = new Rig(machine, Map.of("VMFT_CREW", String.valueOf(threads)))) {
            // From the firmware on: KVM's slots come and go here.
            for (int i = 0; i < 30; i++) {
                rig.checkpoint();
            }
            rig.awaitGuest(1000);
            long[] harvest = new long[200];
            long[] copy = new long[200];
            long[] pages = new long[200];
            for (int i = 0; i < 200; i++) {
                boolean refused = random.nextInt(5) == 0;
                rig.backup.onHarvested = refused ? rig.backup::refuse : rig.backup::seal;
                rig.awaitMoreWrites(200);
                if (random.nextInt(5) == 0) {
                    // Given up before its pause.
                    rig.preCopy();
                    rig.tracker.voidCheckpoint(rig.epoch);
                }
                Harvest h = random.nextBoolean() ? rig.preCopiedCheckpoint() : rig.checkpoint();
                assertThat(h.valid()).isTrue();
                assertThat(h.dirtyPages()).isPositive();
                harvest[i] = h.harvestNanos();
                copy[i] = h.copyNanos();
                pages[i] = h.dirtyPages();
                rig.backup.onHarvested = rig.backup::seal;
                if (i % 20 == 19) {
                    rig.checkEqual();
                    rig.backup.checkPattern();
                    rig.cont();
                }
            }
            long before = rig.backup.checkPattern();
            rig.awaitGuest(before + 1000);
            rig.checkEqual();
            assertThat(rig.backup.checkPattern()).isGreaterThan(before);
            print(machine + " harvest ns", harvest);
            print(machine + " copy ns", copy);
            print(machine + " pages", pages);
        }
    }

    private static void print(String what, long[] values) {
        Arrays.sort(values);
        System.out.printf(
                "%s: p50 %d, p99 %d, max %d%n",
                what, values[values.length / 2], values[values.length * 99 / 100], values[values.length - 1]);
    }

    @ParameterizedTest
    @EnumSource(TestMachine.class)
    void aLiveHarvestLeavesOnlyWhatIsWrittenLater(TestMachine machine) throws Exception {
        assumeRuns(machine);
        try (Rig rig = new Rig(machine)) {
            DirtyBitmap first = rig.tracker.harvestLive().get(20, TimeUnit.SECONDS);
            assertThat(first.dirtyPages())
                    .isEqualTo(rig.tracker.freeze().get(20, TimeUnit.SECONDS).pages());
            rig.backup.copyLive(first, directory.resolve("ram"), directory.resolve("blocks"));
            rig.awaitGuest(1000);
            for (int round = 0; round < 50; round++) {
                rig.awaitMoreWrites(200);
                DirtyBitmap bitmap = rig.tracker.harvestLive().get(20, TimeUnit.SECONDS);
                // The first holds what the firmware did, under KVM all pages of the slots it had moved.
                assertThat(bitmap.dirtyPages()).isBetween(1L, round == 0 ? bitmap.pages() : 2500L);
                rig.backup.copyLive(bitmap, directory.resolve("ram"), directory.resolve("blocks"));
            }
            Harvest harvest = rig.checkpoint();
            assertThat(harvest.dirtyPages()).isLessThan(2500);
            rig.checkEqual();
            rig.backup.checkPattern();
        }
    }

    @ParameterizedTest
    @EnumSource(TestMachine.class)
    void whatQemuItselfWritesIsSeen(TestMachine machine) throws IOException {
        assumeRuns(machine);
        try (Rig rig = new Rig(machine)) {
            rig.awaitGuest(1000);
            rig.checkpoint();
            // Beyond the guest's own range.
            rig.qemu.writeFromQemu(12000, 50);
            Harvest harvest = rig.checkpoint();
            assertThat(harvest.valid()).isTrue();
            assertThat(rig.backup.lastPages).contains(12000L, 12049L).doesNotContain(11999L, 12050L);
            assertThat(rig.backup.image.get(ValueLayout.JAVA_BYTE, 12049L * 4096))
                    .isEqualTo((byte) 0x5a);
            rig.checkEqual();
        }
    }

    @Test
    void whatTheGuestDrawsIsSeenInVideoMemory() throws Exception {
        try (Rig rig = new Rig(
                config(8, 256, Duration.ofSeconds(10)), TestMachine.TCG, "seed=7 pages=100 pace=20 draw=200000")) {
            RamLayout layout = rig.tracker.freeze().get(20, TimeUnit.SECONDS);
            assertThat(layout.blockPages()).contains(4096L);
            rig.checkpoint();
            Awaitility.await()
                    .atMost(Duration.ofMinutes(1))
                    .until(() -> rig.qemu.serial().contains("vmft-guest drawn"));
            rig.checkEqual();
            assertThat(rig.backup.lastPages).anyMatch(page -> page >= layout.ramPages());
        }
    }

    @Test
    void digestsAreOfAllMemoryAtThePause() throws Exception {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.awaitGuest(1000);
            rig.stop();
            rig.tracker.arm(++rig.epoch, true);
            assertThat(rig.save()).startsWith("{\"return\"");
            assertThat(rig.backup.next(rig.backup.harvests).valid()).isTrue();
            int[] digests = rig.backup.next(rig.backup.digests);
            ByteBuffer image = rig.backup.image.asByteBuffer();
            for (int piece = 0; piece < RAM_BYTES >> 20; piece++) {
                CRC32C crc = new CRC32C();
                crc.update(image.slice(piece << 20, 1 << 20));
                assertThat(digests[piece]).as("piece %d", piece).isEqualTo((int) crc.getValue());
            }
            long pages = rig.tracker.freeze().get(20, TimeUnit.SECONDS).pages();
            assertThat(digests).hasSize(Math.toIntExact((pages + 255) / 256));
            rig.checkpoint();
            assertThat(rig.backup.digests).isEmpty();
        }
    }

    @Test
    void aLargeGuestsUntouchedMemoryIsToldButNotCopied() throws Exception {
        long ramBytes = 5L << 30;
        TrackerConfig config = new TrackerConfig(
                directory.resolve("control"),
                directory.resolve("staging"),
                directory.resolve("state"),
                directory.resolve("ram"),
                ramBytes,
                directory.resolve("blocks"),
                1L << 28,
                16,
                4096,
                Duration.ofSeconds(30));
        LargeBackup backup = new LargeBackup();
        try (Tracker tracker = Tracker.open(config, backup)) {
            backup.tracker = tracker;
            // The last of its pages lie above 4 GiB; eight processors are started by the firmware.
            try (TestQemu running = TestQemu.start(
                    directory,
                    tracker.environment(),
                    ramBytes,
                    TestMachine.TCG_SMP,
                    "pages=1000 report=1000 pace=20")) {
                Awaitility.await().atMost(Duration.ofMinutes(1)).until(() -> running.reportedWrites() >= 1000);
                long pages = tracker.freeze().get(20, TimeUnit.SECONDS).pages();
                assertThat(pages).isGreaterThan(ramBytes / 4096);
                for (int epoch = 1; epoch <= 20; epoch++) {
                    tracker.arm(epoch);
                    running.saveState();
                    Harvest harvest = backup.harvests.poll(30, TimeUnit.SECONDS);
                    assertThat(harvest).isNotNull();
                    assertThat(harvest.valid()).isTrue();
                    if (epoch == 1) {
                        assertThat(backup.indexes.get()).isEqualTo(pages);
                        // What QEMU and the firmware touched is a small part.
                        assertThat(backup.stored.get()).isLessThan(20_000);
                    }
                }
                DirtyBitmap touched = tracker.harvestLiveForAll().get(20, TimeUnit.SECONDS);
                assertThat(touched.dirtyPages()).isLessThan(40_000);
                // The guest's own range, from 16 MiB on, was touched.
                assertThat(touched.isDirty(4096)).isTrue();
            }
        }
    }

    /** Counts, and keeps nothing. */
    private static final class LargeBackup implements Tracker.Listener {
        final java.util.concurrent.BlockingQueue<Harvest> harvests = new java.util.concurrent.LinkedBlockingQueue<>();
        final AtomicLong indexes = new AtomicLong();
        final AtomicLong stored = new AtomicLong();
        volatile @org.jspecify.annotations.Nullable Tracker tracker;

        private Tracker tracker() {
            return java.util.Objects.requireNonNull(tracker);
        }

        @Override
        public void connected(Hello hello) {}

        @Override
        public void chunk(Chunk chunk) {
            indexes.addAndGet(chunk.pageCount());
            stored.addAndGet(chunk.storedCount());
            tracker().release(chunk.slot());
        }

        @Override
        public void harvested(Harvest harvest) {
            tracker().sealed(harvest.epoch());
            harvests.add(harvest);
        }

        @Override
        public void disconnected(@org.jspecify.annotations.Nullable Throwable cause) {}
    }

    /** By itself QEMU takes a byte at a time and wakes itself for each. */
    @Test
    void commandsAreReadAhead() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            Path counters = Path.of("/proc", Long.toString(rig.qemu.process.pid()), "io");
            Assumptions.assumeTrue(
                    Files.isReadable(counters), "SKIPPED: the kernel does not count calls: no " + counters);
            String command = "{\"execute\":\"query-status\"}" + " ".repeat(400);
            long before = writeCalls(counters);
            for (int i = 0; i < 50; i++) {
                assertThat(rig.qemu.execute(command)).contains("running");
                // QEMU looks at the second when the first is answered.
                assertThat(rig.qemu.execute(command + "\n" + command)).contains("running");
                assertThat(rig.qemu.execute("")).contains("running");
            }
            assertThat(writeCalls(counters) - before).isLessThan(50L * 3 * command.length());
        }
    }

    private static long writeCalls(Path counters) throws IOException {
        return Files.readAllLines(counters).stream()
                .filter(line -> line.startsWith("syscw: "))
                .mapToLong(line -> Long.parseLong(line.substring("syscw: ".length())))
                .sum();
    }

    @Test
    void memoryAndProcessorsCannotBeAddedToARunningMachine() throws Exception {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.tracker.freeze().get(20, TimeUnit.SECONDS);
            for (String backend : new String[] {
                "\"qom-type\":\"memory-backend-ram\"",
                "\"qom-type\":\"memory-backend-file\",\"share\":true,\"mem-path\":\"" + directory.resolve("more") + "\""
            }) {
                assertThat(rig.qemu.execute(
                                "{\"execute\":\"object-add\",\"arguments\":{\"id\":\"more\",\"size\":1048576," + backend
                                        + "}}"))
                        .startsWith("{\"error\"")
                        .contains("Operation not supported");
            }
            assertThat(rig.qemu.stderr()).contains("memory cannot be added to a running VM");
            rig.checkpoint();
            rig.checkEqual();
            Files.deleteIfExists(directory.resolve("more"));
        }
    }

    @Test
    void aVoidCheckpointsPagesComeAgain() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.awaitGuest(1000);
            assertThat(rig.checkpoint().valid()).isTrue();
            rig.stop();

            rig.backup.onHarvested = rig.backup::refuse;
            Harvest refused = rig.checkpoint();
            assertThat(refused.dirtyPages()).isPositive();
            Set<Long> refusedPages = rig.backup.lastPages;

            rig.backup.onHarvested = rig.backup::seal;
            Harvest again = rig.checkpoint();
            Set<Long> pages = rig.backup.lastPages;
            assertThat(again.valid()).isTrue();
            assertThat(pages).hasSize(Math.toIntExact(again.dirtyPages())).containsAll(refusedPages);

            // Given up after it ended well, as when QEMU reports that the state could not be written.
            rig.tracker.voidCheckpoint(rig.epoch);
            Harvest third = rig.checkpoint();
            assertThat(third.valid()).isTrue();
            assertThat(rig.backup.lastPages).containsAll(pages);

            // And not once more after the next was armed.
            assertThat(rig.checkpoint().dirtyPages()).isLessThan(third.dirtyPages());
            rig.checkEqual();
        }
    }

    @ParameterizedTest
    @EnumSource(TestMachine.class)
    void whatWasCopiedBeforeThePauseIsNotCopiedInItUnlessItWasWrittenAgain(TestMachine machine) throws IOException {
        assumeRuns(machine);
        // A pre-copy takes half of the slots.
        try (Rig rig =
                new Rig(config(32, 256, Duration.ofSeconds(10)), machine, "seed=7 pages=2000 pace=20 report=1000")) {
            rig.awaitGuest(1000);
            rig.checkpoint();
            rig.awaitMoreWrites(1000);
            rig.stop();
            rig.preCopy();
            int before = rig.backup.chunks.stream().mapToInt(Chunk::pageCount).sum();
            Harvest harvest = rig.pause();
            int all = rig.backup.chunks.stream().mapToInt(Chunk::pageCount).sum();
            assertThat(harvest.valid()).isTrue();
            // QEMU writes a few pages more while it saves its state.
            assertThat(all - before).isBetween(0, 100);
            assertThat(harvest.dirtyPages()).isBetween(500L, 2500L);
            assertThat(rig.backup.firstDifference(directory.resolve("ram"), directory.resolve("blocks")))
                    .isEqualTo(-1);

            rig.preCopy();
            rig.qemu.writeFromQemu(12000, 50);
            assertThat(rig.pause().valid()).isTrue();
            assertThat(rig.backup.lastPages).contains(12000L, 12049L);
            rig.cont();
            rig.checkEqual();
        }
    }

    @Test
    void aPreCopyTakesHalfOfTheSlotsAndLeavesTheRestToThePause() throws Exception {
        try (Rig rig = new Rig(config(2, 64, Duration.ofSeconds(20)), TestMachine.TCG, "pages=100")) {
            rig.backup.onChunk = chunk -> {};
            for (int withChunk = 1; withChunk <= 2; withChunk++) {
                rig.preCopy();
                assertThat(rig.backup.chunks).hasSize(withChunk);
                rig.tracker.voidCheckpoint(rig.epoch);
            }
            // Both are out.
            rig.preCopy();
            assertThat(rig.backup.chunks).hasSize(2);
            rig.backup.onChunk = chunk -> rig.tracker.release(chunk.slot());
            rig.tracker.release(0);
            rig.tracker.release(1);
            assertThat(rig.pause().valid()).isTrue();
            rig.checkEqual();
        }
    }

    @Test
    void aPreCopyThatIsGivenUpAtOnceEndsAllTheSame() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.awaitGuest(1000);
            for (int i = 0; i < 200; i++) {
                CompletableFuture<Void> copied = rig.tracker.armAndPreCopy(++rig.epoch, false);
                rig.tracker.voidCheckpoint(rig.epoch);
                assertThat(copied).succeedsWithin(Duration.ofSeconds(20));
            }
            rig.checkEqual();
            assertThat(rig.backup.checkPattern()).isPositive();
        }
    }

    @Test
    void aPreCopiedEpochThatIsGivenUpHasItsPagesComeAgain() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.awaitGuest(1000);
            rig.checkpoint();
            rig.awaitMoreWrites(1000);
            rig.stop();
            rig.backup.chunks.clear();
            rig.preCopy();
            long copied = rig.backup.chunks.stream().mapToInt(Chunk::pageCount).sum();
            assertThat(copied).isGreaterThan(500);
            rig.tracker.voidCheckpoint(rig.epoch);
            assertThat(rig.checkpoint().dirtyPages()).isGreaterThanOrEqualTo(copied);

            // The next epoch may be armed without a word about the last.
            rig.qemu.writeFromQemu(12000, 50);
            rig.preCopy();
            assertThat(rig.preCopiedCheckpoint().dirtyPages()).isGreaterThanOrEqualTo(50);
            assertThat(rig.backup.lastPages).contains(12000L, 12049L);

            // A checkpoint that is void takes back what came before its pause, too.
            rig.qemu.writeFromQemu(12000, 50);
            rig.backup.onHarvested = rig.backup::refuse;
            rig.preCopiedCheckpoint();
            rig.backup.onHarvested = rig.backup::seal;
            rig.checkpoint();
            assertThat(rig.backup.lastPages).contains(12000L, 12049L);
            rig.checkEqual();
        }
    }

    /** A whole checkpoint but for its line: the guest goes on, its disks wait, however long. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whatQemuSendsToADiskWaitsForTheSeal(boolean sealed) throws Exception {
        Path image = directory.resolve("image");
        Files.write(image, new byte[1 << 20]);
        int port = freePort();
        Process server = serve(image, port);
        try (Rig rig = new Rig(TestMachine.TCG);
                ExecutorService writer = Executors.newSingleThreadExecutor()) {
            addDisk(rig.qemu, port);
            rig.awaitGuest(1);
            rig.backup.onHarvested = epoch -> {};
            assertThat(rig.checkpoint().valid()).isTrue();
            rig.awaitMoreWrites(10_000);

            Future<String> write = writer.submit(() -> qemuIo(rig.qemu, "write -P 0x5a 0 4k"));
            assertThat(write).failsWithin(Duration.ofMillis(300)).withThrowableOfType(TimeoutException.class);
            // A seal of another epoch draws another line.
            rig.tracker.sealed(rig.epoch - 1);
            assertThat(write).failsWithin(Duration.ofMillis(300)).withThrowableOfType(TimeoutException.class);
            assertThat(Files.readAllBytes(image)).containsOnly(0);

            if (sealed) {
                rig.tracker.sealed(rig.epoch);
            } else {
                rig.tracker.voidCheckpoint(rig.epoch);
            }
            assertThat(write.get(20, TimeUnit.SECONDS))
                    .startsWith("{\"return\"")
                    .doesNotContain("failed");
            assertThat(qemuIo(rig.qemu, "flush")).startsWith("{\"return\"");
            assertThat(Files.readAllBytes(image)).startsWith(0x5a);
            Set<Long> pages = rig.backup.lastPages;
            rig.backup.onHarvested = rig.backup::seal;
            rig.checkpoint();
            if (!sealed) {
                assertThat(rig.backup.lastPages).containsAll(pages);
                rig.checkEqual();
            }
        } finally {
            server.destroyForcibly().waitFor();
        }
    }

    private static String qemuIo(TestQemu qemu, String command) throws IOException {
        return qemu.execute("{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"qemu-io nbd0 \\\""
                + command + "\\\"\"}}");
    }

    private static int freePort() throws IOException {
        try (ServerSocket free = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return free.getLocalPort();
        }
    }

    /** A server's disk, as soon as it listens. */
    private static void addDisk(TestQemu qemu, int port) {
        String node = "{\"driver\":\"nbd\",\"node-name\":\"nbd0\",\"reconnect-delay\":3600,"
                + "\"server\":{\"type\":\"inet\",\"host\":\"127.0.0.1\",\"port\":\"" + port + "\"}}";
        Awaitility.await()
                .atMost(Duration.ofSeconds(20))
                .until(() -> qemu.execute("{\"execute\":\"blockdev-add\",\"arguments\":" + node + "}")
                        .startsWith("{\"return\""));
    }

    @Test
    void withoutAFreeSlotThePauseWaits() throws Exception {
        try (Rig rig = new Rig(config(2, 64, Duration.ofSeconds(20)), TestMachine.TCG, "pages=100")) {
            rig.backup.onChunk = chunk -> {};
            rig.tracker.arm(++rig.epoch);
            var save = Executors.newSingleThreadExecutor();
            var answer = save.submit(rig::save);
            int filled = 0;
            while (rig.backup.harvests.isEmpty()) {
                Chunk one = rig.backup.chunks.poll(10, TimeUnit.MILLISECONDS);
                if (one == null) {
                    continue;
                }
                filled++;
                if (filled == 2) {
                    // Both are out: the library has nothing to fill and the VM stays paused.
                    assertThat(rig.backup.chunks.poll(200, TimeUnit.MILLISECONDS))
                            .isNull();
                    assertThat(answer.isDone()).isFalse();
                    rig.tracker.release(0);
                    rig.tracker.release(1);
                } else if (filled > 2) {
                    rig.tracker.release(one.slot());
                }
            }
            Harvest harvest = rig.backup.next(rig.backup.harvests);
            assertThat(harvest.valid()).isTrue();
            assertThat(harvest.slotWaitNanos())
                    .isGreaterThan(Duration.ofMillis(100).toNanos());
            assertThat(answer.get(10, TimeUnit.SECONDS)).startsWith("{\"return\"");
            save.shutdown();
            rig.backup.onChunk = chunk -> rig.tracker.release(chunk.slot());
            rig.checkEqual();
        }
    }

    @Test
    void slotsThatNeverComeBackMakeTheCheckpointVoid() throws Exception {
        try (Rig rig = new Rig(config(2, 64, Duration.ofSeconds(2)), TestMachine.TCG, "pages=100")) {
            rig.awaitGuest(1);
            rig.backup.onChunk = chunk -> {};
            assertThat(rig.checkpoint().valid()).isFalse();
            assertThat(rig.checkpoint().valid()).isFalse();
            long writes = rig.qemu.reportedWrites();
            rig.awaitGuest(writes + 1);
            rig.tracker.release(0);
            rig.tracker.release(1);
            rig.backup.onChunk = chunk -> rig.tracker.release(chunk.slot());
            rig.checkEqual();
        }
    }

    @Test
    void savingTheStateUnarmedIsNoCheckpoint() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            assertThat(rig.save()).startsWith("{\"return\"");
            rig.checkpoint();
            assertThat(rig.save()).startsWith("{\"return\"");
            rig.tracker.arm(++rig.epoch);
            rig.tracker.voidCheckpoint(rig.epoch);
            assertThat(rig.save()).startsWith("{\"return\"");
            rig.checkEqual();
            assertThat(rig.backup.harvests).isEmpty();
        }
    }

    @Test
    void whenTheStateFileCannotBeOpenedThereIsNoPause() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            Files.createDirectory(directory.resolve("state"));
            rig.tracker.arm(++rig.epoch);
            assertThat(rig.save()).startsWith("{\"error\"");
            Files.delete(directory.resolve("state"));
            rig.checkEqual();
            assertThat(rig.backup.harvests).isEmpty();
        }
    }

    /** Left to itself QEMU tries after 1, 2, 4, 8 and then every 16 seconds: twenty attempts take it five minutes. */
    @Test
    void aBlockServerThatIsBackIsFoundSoon() throws Exception {
        Path image = directory.resolve("image");
        Files.write(image, new byte[1 << 20]);
        int port = freePort();
        Process server = serve(image, port);
        try (Rig rig = new Rig(TestMachine.TCG);
                ExecutorService reader = Executors.newSingleThreadExecutor()) {
            addDisk(rig.qemu, port);
            server.destroyForcibly().waitFor();
            Future<String> read;
            try (ServerSocket away = new ServerSocket()) {
                away.setReuseAddress(true);
                away.bind(new InetSocketAddress(InetAddress.getLoopbackAddress(), port));
                read = reader.submit(() -> qemuIo(rig.qemu, "read 0 4k"));
                away.setSoTimeout(5_000);
                for (int attempt = 0; attempt < 20; attempt++) {
                    away.accept().close();
                }
            }
            server = serve(image, port);
            assertThat(read.get(20, TimeUnit.SECONDS)).startsWith("{\"return\"").doesNotContain("failed");
        } finally {
            server.destroyForcibly().waitFor();
        }
    }

    private static Process serve(Path image, int port) throws IOException {
        return new ProcessBuilder(
                        "qemu-nbd",
                        "--format=raw",
                        "--persistent",
                        "--bind=127.0.0.1",
                        "--port=" + port,
                        image.toString())
                .inheritIO()
                .start();
    }

    @Test
    void qemusEndIsReported() throws Exception {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.checkpoint();
            rig.qemu.process.destroyForcibly().waitFor();
            assertThat(rig.backup.next(rig.backup.ends)).isEqualTo("null");
            Awaitility.await().until(() -> rig.tracker.harvestLive().isCompletedExceptionally());
        }
    }

    @Test
    void qemusEndInAPauseIsReported() throws Exception {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.backup.onChunk = chunk -> rig.qemu.process.destroyForcibly();
            rig.tracker.arm(1);
            assertThat(org.assertj.core.api.Assertions.catchThrowable(rig::save))
                    .isInstanceOf(IOException.class);
            rig.backup.next(rig.backup.ends);
            assertThat(rig.backup.harvests).isEmpty();
        }
    }

    @Test
    void closingTheTrackerEndsQemu() throws Exception {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            rig.tracker.close();
            assertThat(rig.qemu.process.waitFor(20, TimeUnit.SECONDS)).isTrue();
            assertThat(rig.backup.next(rig.backup.ends)).isEqualTo("null");
            assertThat(rig.qemu.stderr()).contains("must not run without its engine");
            assertThat(directory.resolve("control")).doesNotExist();
            assertThat(directory.resolve("staging")).doesNotExist();
            assertThat(directory.resolve("blocks")).doesNotExist();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void killingTheEngineEndsQemu(boolean paused) throws Exception {
        Process engine = new ProcessBuilder(
                        ProcessHandle.current().info().command().orElseThrow(),
                        "-cp",
                        System.getProperty("java.class.path"),
                        "-D" + NativeLibrary.DIRECTORY_PROPERTY + "="
                                + System.getProperty(NativeLibrary.DIRECTORY_PROPERTY),
                        EngineProcess.class.getName(),
                        directory.toString(),
                        Long.toString(RAM_BYTES),
                        Boolean.toString(paused))
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start();
        try (var output = engine.inputReader()) {
            ProcessHandle qemu =
                    ProcessHandle.of(Long.parseLong(output.readLine())).orElseThrow();
            assertThat(output.readLine()).isEqualTo("ready");
            assertThat(qemu.isAlive()).isTrue();
            engine.destroyForcibly();
            // Not this process's child, so its end is seen by polling.
            Awaitility.await().atMost(Duration.ofSeconds(20)).until(() -> !qemu.isAlive());
        } finally {
            engine.destroyForcibly().waitFor();
        }
    }

    @Test
    void qemuOutlivesTheThreadThatStartedIt() throws Exception {
        Backup backup = new Backup(RAM_BYTES);
        Process[] started = new Process[1];
        try (Tracker tracker = Tracker.open(config(8, 256, Duration.ofSeconds(10)), backup)) {
            Thread starter = Thread.ofPlatform().start(() -> {
                try {
                    started[0] = TestQemu.launch(
                            directory, tracker.environment(), RAM_BYTES, TestMachine.TCG, "pages=100 report=1000");
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            });
            starter.join();
            backup.next(backup.hellos);
            Path serial = directory.resolve("serial");
            Awaitility.await()
                    .atMost(Duration.ofMinutes(1))
                    .until(() ->
                            Files.exists(serial) && Files.readString(serial).contains("vmft-guest 1000\n"));
            assertThat(started[0].isAlive()).isTrue();
        }
        assertThat(started[0].waitFor(20, TimeUnit.SECONDS)).isTrue();
    }

    @Test
    void aRamFileOfAnotherSizeIsRefused() throws Exception {
        Backup backup = new Backup(RAM_BYTES);
        try (Tracker tracker = Tracker.open(config(2, 64, Duration.ofSeconds(1)), backup)) {
            Process qemu = TestQemu.launch(directory, tracker.environment(), RAM_BYTES / 2, TestMachine.TCG, "");
            assertThat(qemu.waitFor(20, TimeUnit.SECONDS)).isTrue();
            assertThat(qemu.exitValue()).isNotZero();
            assertThat(Files.readString(directory.resolve("stderr"))).contains("is mapped with 33554432 bytes");
            assertThat(backup.next(backup.ends)).contains("guest RAM file");
        }
    }

    @Test
    void aQemuThatIsNotTheEnginesChildIsRefused() throws Exception {
        Backup backup = new Backup(RAM_BYTES);
        try (Tracker tracker = Tracker.open(config(2, 64, Duration.ofSeconds(1)), backup)) {
            Map<String, String> environment = new HashMap<>(tracker.environment());
            environment.put("VMFT_PARENT_PID", "1");
            Process qemu = TestQemu.launch(directory, environment, RAM_BYTES, TestMachine.TCG, "");
            assertThat(qemu.waitFor(20, TimeUnit.SECONDS)).isTrue();
            assertThat(qemu.exitValue()).isEqualTo(1);
            assertThat(Files.readString(directory.resolve("stderr"))).contains("must be the child of the engine");
        }
    }

    @Test
    void whatQemuStartsIsNotGuarded() throws IOException {
        try (Rig rig = new Rig(TestMachine.TCG)) {
            Path environment = directory.resolve("environment");
            rig.qemu.execute("{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"exec:(env; echo END) > " + environment
                    + "; cat > /dev/null\"}}");
            Awaitility.await()
                    .atMost(Duration.ofMinutes(1))
                    .until(() -> Files.exists(environment)
                            && Files.readString(environment).contains("END"));
            assertThat(Files.readString(environment)).contains("PATH=").doesNotContain("LD_PRELOAD", "VMFT_");
            assertThat(rig.qemu.execute("{\"execute\":\"query-status\"}")).startsWith("{\"return\"");
        }
    }

    @Test
    void aNumberOfThreadsThatIsNoneIsRefused() throws Exception {
        try (Tracker tracker = Tracker.open(config(8, 256, Duration.ofSeconds(10)), new Backup(RAM_BYTES))) {
            Map<String, String> environment = new HashMap<>(tracker.environment());
            environment.put("VMFT_CREW", "many");
            Process qemu = TestQemu.launch(directory, environment, RAM_BYTES, TestMachine.TCG, "pages=1");
            assertThat(qemu.waitFor(20, TimeUnit.SECONDS)).isTrue();
            assertThat(qemu.exitValue()).isEqualTo(1);
            assertThat(Files.readString(directory.resolve("stderr")))
                    .contains("environment variable VMFT_CREW is a number of threads from 0 to 3");
        }
    }

    @Test
    void withoutItsVariablesTheLibraryIsInert() throws Exception {
        Map<String, String> environment =
                Map.of("LD_PRELOAD", NativeLibrary.locate().toString());
        try (TestQemu qemu = TestQemu.start(directory, environment, RAM_BYTES, TestMachine.TCG, "report=1000")) {
            Awaitility.await().atMost(Duration.ofMinutes(1)).until(() -> qemu.reportedWrites() >= 1000);
        }
    }

    @Test
    void epochPausesCostTheGuestsKvmClockNothingAndOtherPausesAllTheirTime() throws Exception {
        assumeRuns(TestMachine.KVM);
        // Pauses that wait for room: three slots' pages and two slots, which come back late.
        try (Rig rig = new Rig(
                        config(2, 64, Duration.ofSeconds(10)),
                        TestMachine.KVM,
                        "seed=7 pages=192 pace=20 report=1000");
                ScheduledExecutorService late = Executors.newSingleThreadScheduledExecutor()) {
            rig.checkpoint();
            Assumptions.assumeTrue(kvmClock() >= 0, "SKIPPED: this KVM gives the guest no kvm-clock");
            rig.awaitGuest(1000);
            rig.backup.onChunk =
                    chunk -> late.schedule(() -> rig.tracker.release(chunk.slot()), 20, TimeUnit.MILLISECONDS);
            long host = rig.checkpoint().openedNanos();
            long clock = kvmClock();
            long opened = host;
            long paused = 0;
            for (int i = 0; i < 50; i++) {
                rig.awaitMoreWrites(1000);
                Harvest harvest = rig.checkpoint();
                opened = harvest.openedNanos();
                paused += harvest.slotWaitNanos();
            }
            double guestShare = (double) (kvmClock() - clock) / (opened - host);
            assertThat(paused).isGreaterThan((opened - host) / 4);
            System.out.println("kvm-clock over 50 long pauses: " + guestShare + " of the host's time");
            assertThat(guestShare).isBetween(0.97, 1.03);

            rig.backup.onChunk = chunk -> rig.tracker.release(chunk.slot());
            host = rig.checkpoint().openedNanos();
            clock = kvmClock();
            for (int i = 0; i < 10; i++) {
                rig.stop();
                // The pause itself is what is tested.
                TimeUnit.MILLISECONDS.sleep(50);
                rig.cont();
            }
            assertThat(rig.checkpoint().openedNanos() - host - (kvmClock() - clock))
                    .isGreaterThan(TimeUnit.MILLISECONDS.toNanos(450));
        }
    }

    /**
     * How the guest's clocks run while an epoch ends every 25 ms, against the host's: the longer, the more exact; {@code
     * -Dvmft.clock.seconds=60} for the figure in docs/checkpoints.md.
     */
    @Test
    void theGuestsClocksKeepTheHostsTimeThroughEpochs() throws Exception {
        assumeRuns(TestMachine.KVM);
        int seconds = Integer.getInteger("vmft.clock.seconds", 5);
        try (Rig rig = new Rig(TestMachine.KVM)) {
            rig.awaitGuest(1000);
            MemorySegment ram = Backup.map(directory.resolve("ram"));
            Tick first = Tick.now(ram);
            TimeUnit.SECONDS.sleep(2);
            double alone = Tick.now(ram).perNanoSince(first);
            long host = rig.checkpoint().openedNanos();
            long clock = kvmClock();
            Tick before = Tick.now(ram);
            long opened = host;
            while (opened - host < seconds * 1_000_000_000L) {
                opened = rig.checkpoint().openedNanos();
                TimeUnit.MILLISECONDS.sleep(25);
            }
            double tsc = Tick.now(ram).perNanoSince(before) / alone - 1;
            System.out.printf("TSC over %d s of epochs: drift %.4f %%%n", seconds, 100 * tsc);
            // What is left to chance is when this process and QEMU get a processor: a millisecond at each end.
            double allowed = 0.0005 + 0.002 / seconds;
            assertThat(tsc).isBetween(-allowed, allowed);
            if (clock >= 0) {
                double drift = (double) (kvmClock() - clock) / (opened - host) - 1;
                System.out.printf("kvm-clock over %d s of epochs: drift %.4f %%%n", seconds, 100 * drift);
                assertThat(drift).isBetween(-allowed, allowed);
            }
        }
    }

    /**
     * The guest's time stamp counter at a moment of the host's clock. The guest shows it at each of its writes, about once a microsecond
     * while it has a processor: only one that is seen to change is fresh.
     */
    private record Tick(long counter, long nanos) {
        static Tick now(MemorySegment ram) {
            Tick best = new Tick(0, 0);
            long bestGap = Long.MAX_VALUE;
            long last = Backup.timeStampCounter(ram);
            long lastNanos = System.nanoTime();
            for (long end = lastNanos + 100_000_000; lastNanos < end || bestGap > 100_000; ) {
                long counter = Backup.timeStampCounter(ram);
                long nanos = System.nanoTime();
                if (counter != last && nanos - lastNanos < bestGap) {
                    bestGap = nanos - lastNanos;
                    best = new Tick(counter, nanos);
                }
                last = counter;
                lastNanos = nanos;
            }
            return best;
        }

        double perNanoSince(Tick before) {
            return (double) (counter - before.counter) / (nanos - before.nanos);
        }
    }

    /** The clock in the state file's kvmclock section, nanoseconds; -1 if there is none. */
    private long kvmClock() throws IOException {
        byte[] state = Files.readAllBytes(directory.resolve("state"));
        byte[] name = "\u0008kvmclock".getBytes(StandardCharsets.ISO_8859_1);
        for (int i = 0; i + name.length + 16 <= state.length; i++) {
            if (Arrays.equals(state, i, i + name.length, name, 0, name.length)) {
                // instance id, version, then the clock; all big-endian
                return ByteBuffer.wrap(state).getLong(i + name.length + 8);
            }
        }
        return -1;
    }

    /** KVM counts only where the test guest gets somewhere under it; some hosts' KVM exists and does not. */
    private void assumeRuns(TestMachine machine) throws IOException {
        if (!machine.needsKvm()) {
            return;
        }
        Assumptions.assumeTrue(
                Files.isReadable(Path.of("/dev/kvm")) && Files.isWritable(Path.of("/dev/kvm")),
                "SKIPPED: /dev/kvm cannot be opened");
        Assumptions.assumeTrue(KvmProbe.guestRuns(), "SKIPPED: the test guest does not run under this host's KVM");
    }
}
