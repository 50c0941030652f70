package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.export.NoSpaceException;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The server against literal bytes, over loopback, with storage that misbehaves. */
@Timeout(60)
class NbdServerTest {
    private static final int SIZE_BYTES = 1 << 20;
    private static final ListenAddress LOOPBACK = new ListenAddress.Tcp("127.0.0.1", 0);

    private final List<AutoCloseable> open = new ArrayList<>();

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable resource : open.reversed()) {
            resource.close();
        }
    }

    private NbdServer start(ExportView view, NbdLimits limits) throws IOException {
        return start(new OneExport(view), limits);
    }

    private NbdServer start(OneExport export, NbdLimits limits) throws IOException {
        NbdServer server = NbdServer.start(export, List.of(LOOPBACK), limits);
        open.add(server);
        return server;
    }

    private RawClient connect(NbdServer server) throws IOException {
        RawClient client = new RawClient(server.addresses().getFirst());
        open.add(client);
        return client;
    }

    private RawClient onDisk(NbdServer server) throws IOException {
        RawClient client = RawClient.on(server.addresses().getFirst(), "disk");
        open.add(client);
        return client;
    }

    private static boolean await(CountDownLatch latch) {
        try {
            return latch.await(20, TimeUnit.SECONDS);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void answersExportNameWithZeroesUnlessTheyAreNotWanted() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        RawClient old = connect(server);
        old.greet("00000000");
        old.send(RawClient.OPTION + "00000001 00000004 6469736b");
        old.expect("0000000000100000 0d6d" + "00".repeat(124));
        old.request(0, Nbd.CMD_READ, 1, 0, 4);
        old.expect("67446698 00000000 0000000000000001 00000000");
        RawClient modern = connect(server);
        modern.greet("00000003");
        modern.send(RawClient.OPTION + "00000001 00000004 6469736b");
        modern.expect("0000000000100000 0d6d");
        modern.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        modern.expectSuccess(1);
    }

    @Test
    void saysWhyAnExportIsRefusedAndLetsTheClientAskForAnother() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        RawClient client = connect(server);
        client.greet("00000003");
        client.go("nothing");
        assertThat(client.takeOptionReplies()).isEqualTo("80000006 no such volume");
        client.go("held");
        assertThat(client.takeOptionReplies()).isEqualTo("80000002 held by vm1@7");
        client.go("closing");
        assertThat(client.takeOptionReplies()).isEqualTo("80000007 closing");
        client.send(RawClient.OPTION + "00000005 00000000");
        assertThat(client.takeOptionReplies()).startsWith("80000001");
        client.go("disk");
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        client.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        client.expectSuccess(1);
    }

    @Test
    void pipelinesTheHandshakeIntoTheFirstRequest() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        RawClient client = connect(server);
        client.send("00000003" + RawClient.OPTION + "00000007 0000000a 00000004 6469736b 0000" + RawClient.REQUEST
                + "0000 0003 0000000000000001 0000000000000000 00000000");
        client.expect("4e42444d41474943 49484156454F5054 0003");
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        client.expectSuccess(1);
    }

    @Test
    void aDefectOfStorageInTheHandshakeClosesTheConnection() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        RawClient client = connect(server);
        client.greet("00000003");
        client.go("broken");
        client.expectClosed();
    }

    @Test
    void pastTheEndWritesHaveNoSpaceAndReadsAreInvalid() throws IOException {
        MemoryView view = new MemoryView(SIZE_BYTES);
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        client.request(0, Nbd.CMD_READ, 1, SIZE_BYTES - 1, 2);
        assertThat(client.takeError(1)).startsWith("22 ");
        client.request(0, Nbd.CMD_READ, 2, -1, 2);
        assertThat(client.takeError(2)).startsWith("22 ");
        client.request(0, Nbd.CMD_WRITE, 3, SIZE_BYTES - 1, 2);
        client.send("aabb");
        assertThat(client.takeError(3)).startsWith("28 ");
        client.request(0, Nbd.CMD_WRITE, 4, Long.MAX_VALUE, 2);
        client.send("aabb");
        assertThat(client.takeError(4)).startsWith("28 ");
        client.request(0, Nbd.CMD_WRITE_ZEROES, 5, SIZE_BYTES, 1);
        assertThat(client.takeError(5)).startsWith("28 ");
        client.request(0, Nbd.CMD_TRIM, 6, 0, 0xffff_ffffL);
        assertThat(client.takeError(6)).startsWith("22 ");
        client.request(0, Nbd.CMD_READ, 7, SIZE_BYTES - 2, 2);
        client.expect("668e33ef 0001 0001 0000000000000007 0000000a 00000000000ffffe 0000");
        client.request(0, Nbd.CMD_READ, 8, SIZE_BYTES, 0);
        client.expect("668e33ef 0001 0000 0000000000000008 00000000");
    }

    @Test
    void refusedWritesAreDrainedAndTheConnectionGoesOn() throws IOException {
        RawClient client = onDisk(start(
                new MemoryView(SIZE_BYTES) {
                    @Override
                    public boolean readOnly() {
                        return true;
                    }
                },
                NbdLimits.DEFAULT));
        client.request(0, Nbd.CMD_WRITE, 1, 0, 100_000);
        client.send(new byte[100_000]);
        assertThat(client.takeError(1)).isEqualTo("1 disk is read-only");
        client.request(0, Nbd.CMD_WRITE, 2, 0, (32 << 20) + 1);
        client.send(new byte[(32 << 20) + 1]);
        assertThat(client.takeError(2)).startsWith("22 ");
        client.request(0, Nbd.CMD_FLUSH, 3, 0, 0);
        client.expectSuccess(3);
    }

    @Test
    void mapsFailuresOfStorage() throws IOException {
        RawClient client = onDisk(start(
                new MemoryView(SIZE_BYTES) {
                    @Override
                    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                        switch ((int) offset) {
                            case 0 -> throw new NoSpaceException("journal is full");
                            case 1 -> throw new IOException("No space left on device");
                            case 2 -> throw new IOException("Input/output error");
                            case 3 -> throw new IllegalStateException("a defect of storage, on purpose");
                            case 4 -> throw new FencedException("disk", 8, 7); // a standby
                            default -> super.write(offset, source, fua);
                        }
                    }

                    @Override
                    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
                        destination.writeByte(1);
                        if (offset == 0) {
                            throw new IOException("Input/output error");
                        }
                    }
                },
                NbdLimits.DEFAULT));
        String[] errors = {"28 ", "28 ", "5 Input/output error", "5 ", "1 "};
        for (int i = 0; i < errors.length; i++) {
            client.request(0, Nbd.CMD_WRITE, i, i, 1);
            client.send("aa");
            assertThat(client.takeError(i)).startsWith(errors[i]);
        }
        client.request(0, Nbd.CMD_READ, 8, 0, 2);
        assertThat(client.takeError(8)).startsWith("5 ");
        client.request(0, Nbd.CMD_READ, 9, 1, 2);
        assertThat(client.takeError(9)).startsWith("5 ").contains("1 bytes instead of 2");
        client.request(0, Nbd.CMD_WRITE, 10, 5, 1);
        client.send("aa");
        client.expectSuccess(10);
    }

    @Test
    void aFencedWriteIsRefusedAndTheConnectionCut() throws IOException {
        RawClient client = onDisk(start(
                new MemoryView(SIZE_BYTES) {
                    @Override
                    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                        throw new FencedException("disk", 7, 8);
                    }
                },
                NbdLimits.DEFAULT));
        client.request(0, Nbd.CMD_WRITE, 1, 0, 1);
        client.send("aa");
        assertThat(client.takeError(1)).startsWith("1 ");
        client.expectClosed();
    }

    @Test
    void aFencedFlushOnAnotherThreadIsRefusedAndTheConnectionCut() throws IOException {
        RawClient client = onDisk(start(
                new MemoryView(SIZE_BYTES) {
                    @Override
                    public void flush() throws IOException {
                        throw new FencedException("disk", 7, 8);
                    }
                },
                NbdLimits.DEFAULT));
        client.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        assertThat(client.takeError(1)).startsWith("1 ");
        client.expectClosed();
    }

    /** A view whose synced writes stop until they are let through. */
    private static final class SlowView extends MemoryView {
        final CountDownLatch began = new CountDownLatch(1);
        final Semaphore permits = new Semaphore(0);
        final AtomicInteger running = new AtomicInteger();
        final AtomicInteger mostRunning = new AtomicInteger();
        final AtomicInteger calls = new AtomicInteger();
        final CompletableFuture<Integer> closedWhileRunning = new CompletableFuture<>();

        SlowView() {
            super(SIZE_BYTES);
        }

        @Override
        public void write(long offset, ByteBuf source, boolean fua) throws IOException {
            calls.incrementAndGet();
            mostRunning.accumulateAndGet(running.incrementAndGet(), Math::max);
            began.countDown();
            try {
                permits.acquireUninterruptibly();
                super.write(offset, source, fua);
            } finally {
                running.decrementAndGet();
            }
        }

        @Override
        public void close() {
            closedWhileRunning.complete(running.get());
        }
    }

    private static NbdLimits oneThreadEach() {
        return new NbdLimits(100, Duration.ofSeconds(10), 64, 128, 2 << 20, 16, 1, 1);
    }

    @Test
    void writesOfADeadConnectionThatHaveNotBegunNeverDo() throws Exception {
        SlowView view = new SlowView();
        OneExport export = new OneExport(view);
        NbdServer server = start(export, oneThreadEach());
        RawClient client = onDisk(server);
        for (int i = 0; i < 10; i++) {
            client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, i, i, 1);
            client.send("aa");
        }
        assertThat(await(view.began)).isTrue();
        // The read is answered at once: so the server had taken the ten writes before it.
        client.request(0, Nbd.CMD_READ, 99, 100, 1);
        client.expect("668e33ef 0001 0001 0000000000000063 00000009 0000000000000064 00");
        export.revoke();
        client.expectClosed();
        assertThat(view.closedWhileRunning).as("closed under a running call").isNotDone();
        view.permits.release(100);
        assertThat(view.closedWhileRunning.get(20, TimeUnit.SECONDS)).isZero();
        server.close();
        assertThat(view.calls).hasValue(1);
    }

    @Test
    void aClosingServerAnswersWhatItHasTaken() throws Exception {
        SlowView view = new SlowView();
        NbdServer server = start(view, NbdLimits.DEFAULT);
        RawClient client = onDisk(server);
        client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, 1, 0, 1);
        client.send("aa");
        assertThat(await(view.began)).isTrue();
        CompletableFuture<Void> closed = CompletableFuture.runAsync(
                server::close, task -> Thread.ofVirtual().start(task));
        view.permits.release();
        client.expectSuccess(1);
        client.expectClosed();
        closed.get(20, TimeUnit.SECONDS);
        assertThat(view.closedWhileRunning).isCompletedWithValue(0);
    }

    @Test
    void noMoreRequestsAreTakenThanTheLimitSays() throws Exception {
        SlowView view = new SlowView();
        NbdLimits limits = new NbdLimits(100, Duration.ofSeconds(10), 64, 3, 2 << 20, 16, 8, 8);
        RawClient client = onDisk(start(view, limits));
        for (int i = 0; i < 50; i++) {
            client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, i, i, 1);
            client.send("aa");
        }
        Awaitility.await().until(() -> view.running.get() == 3);
        view.permits.release(50);
        List<String> replies = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            client.expect("67446698 00000000 000000000000");
            replies.add(client.take(2));
        }
        assertThat(replies).doesNotHaveDuplicates();
        assertThat(view.mostRunning).hasValue(3);
        for (int i = 0; i < 50; i++) {
            assertThat(view.bytes[i]).isEqualTo((byte) 0xaa);
        }
    }

    @Test
    void longRequestsAreCarriedOutInPiecesAndAnsweredOnce() throws IOException {
        int pieceBytes = 1 << 20;
        int sizeBytes = 4 * pieceBytes;
        NavigableMap<Long, Integer> pieces = new ConcurrentSkipListMap<>();
        List<String> flushes = new CopyOnWriteArrayList<>();
        MemoryView view = new MemoryView(sizeBytes) {
            @Override
            public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                assertThat(fua).isFalse();
                pieces.put(offset, source.readableBytes());
                super.write(offset, source, fua);
            }

            @Override
            public void flush() {
                flushes.add("after " + pieces.values());
            }
        };
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        byte[] data = new byte[2 * pieceBytes + 7];
        new Random(3).nextBytes(data);
        client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, 1, 5, data.length);
        client.send(data);
        client.expectSuccess(1);
        // Shorter ones if the machine is so busy that storage seems slow.
        assertThat(pieces.values()).hasSizeBetween(3, 9).allMatch(bytes -> bytes <= pieceBytes);
        assertThat(pieces.values().stream().mapToInt(Integer::intValue).sum()).isEqualTo(data.length);
        assertThat(flushes).containsExactly("after " + pieces.values());
        client.request(0, Nbd.CMD_READ, 2, 5, data.length);
        byte[] read = client.takeChunks(2, 5, data.length);
        assertThat(read).isEqualTo(data);
        client.request(0, Nbd.CMD_READ, 3, sizeBytes - data.length + 1, data.length);
        assertThat(client.takeError(3)).startsWith("22 ");
        client.request(0, Nbd.CMD_WRITE, 4, sizeBytes - data.length + 1, data.length);
        client.send(data);
        assertThat(client.takeError(4)).startsWith("28 ");
        client.request(Nbd.CMD_FLAG_DF, Nbd.CMD_READ, 5, 0, data.length);
        client.expect("668e33ef 0001 0001 0000000000000005 %08x 0000000000000000".formatted(data.length + 8));
        client.take(data.length);
    }

    @Test
    void aLongRequestFailsOnceWhenAPieceFails() throws IOException {
        int sizeBytes = 3 << 20;
        int pieceBytes = 1 << 20;
        AtomicInteger calls = new AtomicInteger();
        RawClient client = onDisk(start(
                new MemoryView(sizeBytes) {
                    @Override
                    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                        calls.incrementAndGet();
                        if (offset == pieceBytes) {
                            throw new NoSpaceException("journal is full");
                        }
                    }

                    @Override
                    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
                        if (offset == pieceBytes) {
                            throw new IOException("Input/output error");
                        }
                        super.read(offset, lengthBytes, destination);
                    }

                    @Override
                    public void flush() {
                        calls.addAndGet(100);
                    }
                },
                NbdLimits.DEFAULT));
        client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, 1, 0, sizeBytes);
        client.send(new byte[sizeBytes]);
        assertThat(client.takeError(1)).isEqualTo("28 journal is full");
        assertThat(calls.get()).as("flushes count 100").isLessThan(100);
        client.request(0, Nbd.CMD_READ, 2, 0, sizeBytes);
        assertThat(client.takeErrorAfterData(2)).isEqualTo("5 Input/output error");
        client.request(0, Nbd.CMD_FLUSH, 3, 0, 0);
        client.expectSuccess(3);
    }

    @Test
    void longRequestsOnOtherThreadsAreAnsweredWhole() throws IOException {
        MemoryView view = new MemoryView(SIZE_BYTES) {
            @Override
            public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
                pauseMillis();
                super.read(offset, lengthBytes, destination);
            }

            @Override
            public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                pauseMillis();
                super.write(offset, source, fua);
            }

            // Longer than a copy of a piece may take: this makes the server hand calls over.
            private void pauseMillis() {
                LockSupport.parkNanos(2_000_000);
            }
        };
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        byte[] data = new byte[SIZE_BYTES];
        new Random(4).nextBytes(data);
        for (int round = 0; round < 5; round++) {
            data[round]++;
            client.request(0, Nbd.CMD_WRITE, 1, 0, SIZE_BYTES);
            client.send(data);
            client.expectSuccess(1);
            client.request(0, Nbd.CMD_READ, 2, 0, SIZE_BYTES);
            assertThat(client.takeChunks(2, 0, SIZE_BYTES)).isEqualTo(data);
        }
    }

    /** As of a protected volume. */
    private static class JournaledView extends MemoryView {
        JournaledView(int sizeBytes) {
            super(sizeBytes);
        }

        @Override
        public final boolean journals() {
            return true;
        }

        @Override
        public final boolean flushesAtOnce() {
            return true;
        }
    }

    /** A journal without room until it is told otherwise. */
    private static final class FullView extends JournaledView {
        final CountDownLatch room = new CountDownLatch(1);
        final AtomicInteger waiting = new AtomicInteger();

        FullView() {
            super(SIZE_BYTES);
        }

        @Override
        public void write(long offset, ByteBuf source, boolean fua) throws IOException {
            waiting.incrementAndGet();
            assertThat(await(room)).isTrue();
            super.write(offset, source, fua);
        }
    }

    @Test
    void writesThatWaitForRoomHoldUpNoOtherConnection() throws Exception {
        FullView view = new FullView();
        NbdServer server = start(view, NbdLimits.DEFAULT);
        // More than there are event loops.
        List<RawClient> others = new ArrayList<>();
        for (int i = 0; i <= Math.max(4, Runtime.getRuntime().availableProcessors()); i++) {
            others.add(onDisk(server));
        }
        // More than there are I/O threads, short and long.
        RawClient writer = onDisk(server);
        int writes = 2 * NbdLimits.DEFAULT.ioThreads();
        for (int i = 0; i < writes; i++) {
            int length = i % 8 == 0 ? SIZE_BYTES : 512;
            writer.request(i % 4 == 0 ? Nbd.CMD_FLAG_FUA : 0, Nbd.CMD_WRITE, i, 0, length);
            writer.send(new byte[length]);
        }
        Awaitility.await().until(() -> view.waiting.get() == writes);
        for (RawClient other : others) {
            other.request(0, Nbd.CMD_READ, 2, 0, 512);
            assertThat(other.takeChunks(2, 0, 512)).hasSize(512);
            other.request(0, Nbd.CMD_TRIM, 3, 0, 512);
            other.expectSuccess(3);
        }
        view.room.countDown();
        List<String> replies = new ArrayList<>();
        for (int i = 0; i < writes; i++) {
            writer.expect("67446698 00000000 000000000000");
            replies.add(writer.take(2));
        }
        assertThat(replies).doesNotHaveDuplicates();
    }

    @Test
    void slowAppendsGoElsewhereUntilTheyAreFastAgain() throws IOException {
        AtomicBoolean slow = new AtomicBoolean(true);
        AtomicInteger onTheLoop = new AtomicInteger();
        MemoryView view = new JournaledView(SIZE_BYTES) {
            @Override
            public boolean writeAtOnce(long offset, ByteBuf source) throws IOException {
                onTheLoop.incrementAndGet();
                super.write(offset, source, false);
                pauseIfSlow();
                return true;
            }

            @Override
            public void write(long offset, ByteBuf source, boolean fua) throws IOException {
                super.write(offset, source, fua);
                pauseIfSlow();
            }

            private void pauseIfSlow() {
                if (slow.get()) {
                    LockSupport.parkNanos(10_000_000);
                }
            }
        };
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        for (int i = 0; i < 6; i++) {
            writeShort(client, i);
        }
        assertThat(onTheLoop).hasValue(3);
        slow.set(false);
        // Some are slow by the scheduler's doing.
        for (int i = 0; i < 1000 && onTheLoop.get() == 3; i++) {
            writeShort(client, i);
        }
        assertThat(onTheLoop).hasValueGreaterThan(3);
    }

    private static void writeShort(RawClient client, int cookie) throws IOException {
        client.request(0, Nbd.CMD_WRITE, cookie, 0, 512);
        client.send(new byte[512]);
        client.expectSuccess(cookie);
    }

    @Test
    void aWriteOfWhichSomePiecesWaitIsAnsweredOnce() throws IOException {
        AtomicInteger tried = new AtomicInteger();
        MemoryView view = new JournaledView(4 * SIZE_BYTES) {
            @Override
            public boolean writeAtOnce(long offset, ByteBuf source) throws IOException {
                boolean now = tried.getAndIncrement() % 2 == 0;
                if (now) {
                    write(offset, source, false);
                }
                return now;
            }
        };
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        byte[] data = new byte[4 * SIZE_BYTES];
        new Random(5).nextBytes(data);
        for (int i = 0; i < 5; i++) {
            data[i]++;
            client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, i, 0, data.length);
            client.send(data);
            client.expectSuccess(i);
            assertThat(view.bytes).isEqualTo(data);
        }
        assertThat(tried.get()).isGreaterThanOrEqualTo(4);
    }

    @Test
    void ofWritesThatWaitNoMoreIsTakenThanAShare() throws Exception {
        FullView view = new FullView();
        RawClient writer = onDisk(start(view, NbdLimits.DEFAULT));
        int writes = 32;
        Thread sender = Thread.ofVirtual().start(() -> {
            try {
                for (int i = 0; i < writes; i++) {
                    writer.request(0, Nbd.CMD_WRITE, i, 0, SIZE_BYTES);
                    writer.send(new byte[SIZE_BYTES]);
                }
            } catch (IOException e) {
                throw new AssertionError(e);
            }
        });
        int share = NbdLimits.DEFAULT.inFlightBytes() / SIZE_BYTES;
        Awaitility.await().until(() -> view.waiting.get() >= share);
        Awaitility.await().during(Duration.ofMillis(300)).until(() -> view.waiting.get() == share && sender.isAlive());
        view.room.countDown();
        for (int i = 0; i < writes; i++) {
            writer.expect("67446698 00000000 000000000000");
            writer.take(2);
        }
        sender.join();
    }

    @Test
    void aClientThatDoesNotReadItsRepliesStopsOnlyItself() throws Exception {
        AtomicInteger reads = new AtomicInteger();
        NbdServer server = start(
                new MemoryView(SIZE_BYTES) {
                    @Override
                    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
                        reads.incrementAndGet();
                        super.read(offset, lengthBytes, destination);
                    }
                },
                NbdLimits.DEFAULT);
        RawClient greedy = onDisk(server);
        for (int i = 0; i < 1000; i++) {
            greedy.request(0, Nbd.CMD_READ, i, 0, SIZE_BYTES);
        }
        RawClient other = onDisk(server);
        other.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        other.expectSuccess(1);
        // 1000 MiB were asked for. What the server holds is bounded, and so is what the sockets hold.
        AtomicInteger before = new AtomicInteger(-1);
        Awaitility.await()
                .pollInterval(Duration.ofMillis(200))
                .until(() -> before.getAndSet(reads.get()) == reads.get());
        assertThat(reads.get()).as("pieces of 1 MiB").isBetween(1, 50);
        greedy.takeDataOfAnyRead(10L * SIZE_BYTES);
    }

    @Test
    void aDisconnectIsObeyedAfterTheLastAnswer() throws Exception {
        SlowView view = new SlowView();
        RawClient client = onDisk(start(view, NbdLimits.DEFAULT));
        client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_WRITE, 1, 0, 1);
        client.send("aa");
        client.request(0, Nbd.CMD_DISC, 0, 0, 0);
        assertThat(await(view.began)).isTrue();
        view.permits.release();
        client.expectSuccess(1);
        client.expectClosed();
    }

    @Test
    void aHandshakeThatTakesTooLongIsCut() throws IOException {
        NbdLimits limits = NbdLimits.DEFAULT.withHandshake(Duration.ofMillis(300));
        NbdServer server = start(new MemoryView(SIZE_BYTES), limits);
        RawClient silent = connect(server);
        silent.expect("4e42444d41474943 49484156454F5054 0003");
        silent.expectClosed();
        RawClient half = connect(server);
        half.greet("00000003");
        half.send(RawClient.OPTION + "00000007 000000");
        half.expectClosed();
        RawClient skipping = connect(server);
        skipping.greet("00000003");
        skipping.send(RawClient.OPTION + "000000ff ffffffff 00");
        assertThat(skipping.takeOptionReplies()).startsWith("80000001");
        skipping.expectClosed();
    }

    @Test
    void tooManyOptionsAreCut() throws IOException {
        RawClient client = connect(start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT));
        client.greet("00000003");
        for (int i = 0; i < 64; i++) {
            client.send(RawClient.OPTION + "000000ff 00000000");
            assertThat(client.takeOptionReplies()).startsWith("80000001");
        }
        client.send(RawClient.OPTION + "000000ff 00000000");
        client.expectClosed();
    }

    @Test
    void aConnectionTooManyIsCutAndRoomIsMadeByClosingOne() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT.withConnections(2));
        RawClient first = onDisk(server);
        RawClient second = onDisk(server);
        connect(server).expectClosed();
        second.request(0, Nbd.CMD_DISC, 0, 0, 0);
        second.expectClosed();
        Awaitility.await().ignoreExceptions().until(() -> {
            onDisk(server);
            return true;
        });
        first.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        first.expectSuccess(1);
    }

    @Test
    void nonsenseClosesOnlyItsOwnConnection() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        RawClient good = onDisk(server);
        String[] nonsense = {
            "00000004",
            "00000003 0000000000000000 00000000 00000000",
            "00000000" + RawClient.OPTION + "00000003 00000000",
            "00000003" + RawClient.OPTION + "00000001 00001001",
            "00000003" + RawClient.OPTION + "00000007 0000000a 00000004 6469736b 0000" + "11223344" + "00".repeat(24),
        };
        for (String hex : nonsense) {
            RawClient bad = connect(server);
            bad.greet(hex);
            if (hex.endsWith("00".repeat(24))) {
                bad.takeOptionReplies();
            }
            bad.expectClosed();
        }
        good.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        good.expectSuccess(1);
    }

    @Test
    void garbageNeverStopsTheServer() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT.withHandshake(Duration.ofMillis(200)));
        long seed = System.nanoTime();
        Random random = new Random(seed);
        for (int round = 0; round < 100; round++) {
            try (RawClient client = round % 2 == 0
                    ? RawClient.on(server.addresses().getFirst(), "disk")
                    : new RawClient(server.addresses().getFirst())) {
                byte[] garbage = new byte[random.nextInt(1, 5000)];
                random.nextBytes(garbage);
                client.send(garbage);
            }
        }
        RawClient good = onDisk(server);
        good.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        good.expectSuccess(1);
    }

    @Test
    void listensOnIpv6() throws IOException {
        NbdServer server = NbdServer.start(
                new OneExport(new MemoryView(SIZE_BYTES)), List.of(ListenAddress.parse("[::1]:0")), NbdLimits.DEFAULT);
        open.add(server);
        RawClient client = onDisk(server);
        client.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        client.expectSuccess(1);
    }

    @Test
    void aPortInUseIsNamed() throws IOException {
        NbdServer server = start(new MemoryView(SIZE_BYTES), NbdLimits.DEFAULT);
        ListenAddress taken = server.addresses().getFirst();
        assertThatThrownBy(() -> NbdServer.start(
                        new OneExport(new MemoryView(SIZE_BYTES)), List.of(LOOPBACK, taken), NbdLimits.DEFAULT))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("cannot listen on " + taken)
                .hasMessageContaining("choose another --listen");
    }
}
