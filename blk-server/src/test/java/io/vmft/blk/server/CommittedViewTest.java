package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.FaultyFiles;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code NAME@committed}: who shares it, what it is under a writer that does not stop, and what ends it. */
class CommittedViewTest {
    private static final int BLOCKS = 512;
    private static final int SIZE = BLOCKS * Blocks.BYTES;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        start(1 << 20);
    }

    private void start(long snapshotLimitBytes) throws IOException {
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), SIZE)))
                .journal(JournalSettings.DEFAULT.withSizes(64 << 20, 4 << 20).withApplyInterval(Duration.ofMillis(3)))
                .snapshotLimit(snapshotLimitBytes)
                .files(files)
                .build());
        engine = new Engine(server, "vm1", "disk");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private List<BlockStatus> changes(ExportView view, long since) throws IOException {
        return view.blockStatus(BlockStatus.EPOCH_DIRTY + since, 0, SIZE, 100);
    }

    @Test
    void itStandsStillWhileItsVolumeIsWrittenTo() throws Exception {
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        Blocks.write(bare, 20, 'b');
        try (ExportView view = engine.view("@committed")) {
            Blocks.write(bare, 0, 'x');
            bare.trim(20L * Blocks.BYTES, Blocks.BYTES, false);
            Blocks.write(bare, 40, 'y');
            assertThat(Blocks.read(view, 0)).isEqualTo('a');
            assertThat(Blocks.read(view, 20)).isEqualTo('b');
            assertThat(Blocks.read(view, 40)).isZero();
            assertThat(view.readOnly()).isTrue();
            assertThatThrownBy(() -> Blocks.write(view, 0, 'z')).hasMessageContaining("read-only");
        }
    }

    @Test
    void everybodyWhoOpensItWhileItIsOpenGetsTheSamePoint() throws Exception {
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        ExportView first = engine.view("@committed");
        Blocks.write(bare, 0, 'b');
        ExportView second = engine.view("@committed;session=abc.1");
        ExportView apart = engine.view("@committed.nightly");
        assertThat(second.multiConn()).isTrue();
        assertThat(Engine.point(second)).isEqualTo(Engine.point(first));
        assertThat(Engine.point(apart)).isGreaterThan(Engine.point(first));
        first.close();
        assertThat(Blocks.read(second, 0)).isEqualTo('a');
        assertThat(Blocks.read(apart, 0)).isEqualTo('b');
        second.close();
        try (ExportView third = engine.view("@committed")) {
            assertThat(Blocks.read(third, 0)).isEqualTo('b');
            assertThat(Engine.point(third))
                    .as("nothing changed since the other was opened")
                    .isEqualTo(Engine.point(apart));
        }
        apart.close();
    }

    @Test
    void itIsListedAndOpenWhileAVmHoldsTheVolumeAndOutlivesItsChanges() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'b');
        assertThat(server.exports().names(ClientIdentity.UNKNOWN)).contains("disk@committed");
        ExportView view = engine.view("@committed");
        assertThat(view.description()).contains("VM vm1").contains("epoch 1");
        engine.takeOver("hostB", 1, 1);
        Blocks.write(engine.primary(), 0, 'c');
        engine.close();
        Blocks.write(engine.bare(), 0, 'd');
        assertThat(Blocks.read(view, 0)).isEqualTo('a');
        view.close();
    }

    @Test
    void aBlockThatIsOverwrittenWhileItIsReadIsReadAsItWas() throws Exception {
        ExportView bare = engine.bare();
        Blocks.write(bare, 0, 'a');
        ExportView view = engine.view("@committed");
        CountDownLatch reading = new CountDownLatch(1);
        CountDownLatch written = new CountDownLatch(1);
        CompletableFuture<Integer> found = new CompletableFuture<>();
        Thread reader = Thread.ofPlatform().unstarted(() -> {
            try {
                found.complete(Blocks.read(view, 0));
            } catch (IOException | RuntimeException | Error e) {
                found.completeExceptionally(e);
            }
        });
        files.inject((call, path) -> {
            if (call == FaultyFiles.Call.READ && Thread.currentThread() == reader) {
                reading.countDown();
                try {
                    written.await();
                } catch (InterruptedException e) {
                    throw new IOException(e);
                }
            }
        });
        reader.start();
        reading.await();
        Blocks.write(bare, 0, 'b');
        written.countDown();
        assertThat(found.get(30, TimeUnit.SECONDS)).isEqualTo((int) 'a');
        view.close();
    }

    @Test
    void wrongNamesAndTooManyViewsAreRefused() throws Exception {
        assertThatThrownBy(() -> engine.view("@committed.a/b"))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("label");
        assertThatThrownBy(() -> engine.view("@comitted"))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("committed");
        List<ExportView> views = new ArrayList<>();
        for (int i = 0; i < 8; i++) {
            views.add(engine.view("@committed.n" + i));
        }
        assertThatThrownBy(() -> engine.view("@committed")).hasMessageContaining("8 committed views");
        views.getFirst().close();
        engine.view("@committed").close();
        for (ExportView view : views) {
            view.close();
        }
    }

    @Test
    void lookingMakesAPointToStartFromAndKeepsNothing() throws Exception {
        ExportView bare = engine.bare();
        ExportView look = server.exports().look("disk@committed", ClientIdentity.UNKNOWN);
        assertThat(look.contexts("vmft:", true)).as("before anybody asked").isEmpty();
        long point = Engine.point(look);
        assertThat(Engine.point(look)).as("nothing changed").isEqualTo(point);
        assertThatThrownBy(() -> Blocks.read(look, 0)).isInstanceOf(IOException.class);
        look.close();
        Blocks.write(bare, 16, 'a');
        try (ExportView view = engine.view("@committed")) {
            assertThat(changes(view, point))
                    .containsExactly(
                            new BlockStatus(64 << 10, 0),
                            new BlockStatus(64 << 10, BlockStatus.DIRTY),
                            new BlockStatus(SIZE - (128 << 10), 0));
            Blocks.write(bare, 0, 'b');
            assertThat(Engine.point(server.exports().look("disk@committed", ClientIdentity.UNKNOWN)))
                    .as("others have it open")
                    .isEqualTo(Engine.point(view));
        }
    }

    @Test
    void contextsAreThePointsThatWereGivenOut() throws Exception {
        ExportView bare = engine.bare();
        ExportView first = engine.view("@committed");
        long point = Engine.point(first);
        first.close();
        Blocks.write(bare, 0, 'a');
        try (ExportView view = engine.view("@committed")) {
            String name = BlockStatus.EPOCH_DIRTY + point;
            assertThat(view.contexts("vmft:", true))
                    .containsExactly(name, BlockStatus.EPOCH_DIRTY + Engine.point(view));
            assertThat(view.contexts(name, false)).containsExactly(name);
            assertThat(view.contexts(BlockStatus.EPOCH_DIRTY + (Engine.point(view) + 1), false))
                    .isEmpty();
            assertThat(view.contexts(BlockStatus.EPOCH_DIRTY + "999999999999999999999", false))
                    .isEmpty();
            assertThat(view.contexts(BlockStatus.EPOCH_DIRTY + "-1", false)).isEmpty();
            assertThat(changes(view, point))
                    .containsExactly(
                            new BlockStatus(64 << 10, BlockStatus.DIRTY), new BlockStatus(SIZE - (64 << 10), 0));
            assertThat(changes(view, Engine.point(view))).containsExactly(new BlockStatus(SIZE, 0));
            assertThat(changes(view, point - 1))
                    .as("a number that was never given out")
                    .containsExactly(new BlockStatus(SIZE, BlockStatus.DIRTY));
        }
    }

    @Test
    void beyondItsLimitTheViewEndsAndTheWriterGoesOn() throws Exception {
        ExportView bare = engine.bare();
        for (int block = 0; block < BLOCKS; block += 16) {
            Blocks.write(bare, block, 'a');
        }
        ExportView view = engine.view("@committed");
        int written = 0;
        for (int block = 0; block < BLOCKS; block += 16) {
            Blocks.write(bare, block, 'b');
            written++;
        }
        assertThat(written).isGreaterThan(16);
        assertThatThrownBy(() -> Blocks.read(view, 0))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("--snapshot-limit");
        assertThatThrownBy(() -> view.blockStatus(BlockStatus.ALLOCATION, 0, SIZE, 1))
                .hasMessageContaining("--snapshot-limit");
        try (ExportView next = engine.view("@committed")) {
            assertThat(Blocks.read(next, 0)).as("the room was given back").isEqualTo('b');
        }
        view.close();
    }

    @Test
    void whatCannotBeSavedEndsTheViewAndNotTheFold() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        Blocks.write(primary, 0, 'a');
        engine.seal(1);
        engine.commit(1);
        Awaitility.await().until(() -> engine.volume().overlay().committedBytes() == 0);
        ExportView view = engine.view("@committed");
        assertThat(Blocks.read(view, 0)).isEqualTo('a');
        files.inject((call, path) -> {
            if (call == FaultyFiles.Call.WRITE && path.toString().contains("snapshots")) {
                throw new IOException("the disk is broken");
            }
        });
        Blocks.write(primary, 0, 'b');
        engine.seal(2);
        engine.commit(2);
        Awaitility.await().until(() -> Blocks.inFile(directory.resolve("disk.img"), 0) == 'b');
        assertThatThrownBy(() -> Blocks.read(view, 0)).hasMessageContaining("the disk is broken");
        view.close();
    }

    @Test
    void aMarkThatCannotBeWrittenMakesEverythingDirtyUntilARestart() throws Exception {
        ExportView bare = engine.bare();
        ExportView first = engine.view("@committed");
        first.close();
        files.inject((call, path) -> {
            if (call == FaultyFiles.Call.WRITE && path.toString().endsWith(".map")) {
                throw new IOException("the disk is broken");
            }
        });
        Blocks.write(bare, 0, 'a');
        files.heal();
        long last;
        try (ExportView view = engine.view("@committed")) {
            assertThat(changes(view, Engine.point(first))).containsExactly(new BlockStatus(SIZE, BlockStatus.DIRTY));
            last = Engine.point(view);
        }
        server.close();
        start(1 << 20);
        try (ExportView view = engine.view("@committed")) {
            assertThat(Engine.point(view)).isGreaterThan(last);
            assertThat(changes(view, last)).containsExactly(new BlockStatus(SIZE, BlockStatus.DIRTY));
        }
        Blocks.write(engine.bare(), 100, 'c');
        try (ExportView view = engine.view("@committed")) {
            List<String> known = view.contexts("vmft:epoch-dirty:", true);
            assertThat(known).hasSize(2);
            assertThat(view.blockStatus(known.getFirst(), 0, SIZE, 9)).hasSize(3);
        }
    }

    @Test
    void nothingIsLeftInTheDirectory() throws Exception {
        Path folder = directory.resolve("data").resolve("snapshots");
        ExportView view = engine.view("@committed");
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left).isEmpty();
        }
        view.close();
        server.close();
        Files.createFile(folder.resolve("blocks-7"));
        start(1 << 20);
        try (Stream<Path> left = Files.list(folder)) {
            assertThat(left).isEmpty();
        }
    }

    /** Writes number {@code i} to a block, for i = 1, 2, …, until it is stopped. */
    private final class Writer implements AutoCloseable {
        private final AtomicLong written = new AtomicLong();
        private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
        private final Thread thread;
        private volatile boolean stopping;

        Writer(ExportView view, int epochWrites) {
            thread = Thread.ofPlatform().start(() -> {
                ByteBuf data = Unpooled.directBuffer(Blocks.BYTES);
                try {
                    for (long i = 1; !stopping; i++) {
                        data.clear();
                        while (data.isWritable(8)) {
                            data.writeLong(i);
                        }
                        view.write((long) block(i) * Blocks.BYTES, data, false);
                        written.set(i);
                        if (epochWrites > 0 && i % epochWrites == 0) {
                            engine.seal(i / epochWrites);
                            engine.commit(i / epochWrites);
                        }
                    }
                } catch (IOException | RuntimeException | Error e) {
                    failure.set(e);
                } finally {
                    data.release();
                }
            });
        }

        static int block(long i) {
            return (int) (i * 7919 % BLOCKS);
        }

        void awaitMore(int writes) {
            long from = written.get();
            Awaitility.await().until(() -> written.get() > from + writes || failure.get() != null);
            assertThat(failure.get()).isNull();
        }

        @Override
        public void close() {
            stopping = true;
            Awaitility.await().until(() -> !thread.isAlive());
        }
    }

    /** Up to which write the view has all and after which none: found in its own content. */
    private long prefix(ExportView view) throws IOException {
        long[] found = numbers(view);
        long last = 0;
        for (long number : found) {
            last = Math.max(last, number);
        }
        long[] expected = new long[BLOCKS];
        for (long i = Math.max(1, last - BLOCKS + 1); i <= last; i++) {
            expected[Writer.block(i)] = i;
        }
        assertThat(found).isEqualTo(expected);
        return last;
    }

    private static long[] numbers(ExportView view) throws IOException {
        long[] found = new long[BLOCKS];
        int step = 7 * Blocks.BYTES;
        for (int at = 0; at < SIZE; at += step) {
            int length = Math.min(step, SIZE - at);
            ByteBuf data = Unpooled.directBuffer(length);
            view.read(at, length, data);
            ByteBuffer bytes = data.nioBuffer();
            for (int i = 0; i < length; i += 8) {
                long number = bytes.getLong(i);
                int block = (at + i) / Blocks.BYTES;
                if (i % Blocks.BYTES == 0) {
                    found[block] = number;
                } else if (found[block] != number) {
                    throw new AssertionError("block " + block + " has both " + found[block] + " and " + number);
                }
            }
            data.release();
        }
        return found;
    }

    @Test
    void underADirectWriterItIsOneMomentOfItsWrites() throws Exception {
        stop();
        start(1L << 30);
        try (Writer writer = new Writer(engine.bare(), 0)) {
            checkMoments(writer, 0);
        }
    }

    @Test
    void underAProtectedWriterItIsTheEndOfAnEpoch() throws Exception {
        stop();
        start(1L << 30);
        engine.protect();
        try (Writer writer = new Writer(engine.primary(), 40)) {
            writer.awaitMore(120);
            checkMoments(writer, 40);
        }
    }

    private void checkMoments(Writer writer, int epochWrites) throws IOException, ExportRefusedException {
        long before = 0;
        for (int round = 0; round < 8; round++) {
            writer.awaitMore(50);
            try (ExportView view = engine.view("@committed.a");
                    ExportView sibling = engine.view("@committed.a")) {
                long moment = prefix(view);
                assertThat(moment).isGreaterThan(before);
                before = moment;
                if (epochWrites > 0) {
                    assertThat(moment % epochWrites).isZero();
                    assertThat(view.description()).endsWith(", epoch " + moment / epochWrites);
                }
                writer.awaitMore(700);
                assertThat(prefix(view)).isEqualTo(moment);
                assertThat(prefix(sibling)).isEqualTo(moment);
            }
        }
    }
}
