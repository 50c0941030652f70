package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.VolumeSpec;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.nbd.Nbd;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Writes of an older connection against those of the one that takes its place, over real sockets and files. Storage is held while the old one's writes
 * are everywhere they can be: in a storage call, queued for a storage thread, received but not decoded, unread in the socket.
 */
@Timeout(120)
class ConnectionOrderTest {
    private static final int BLOCK = 256;
    private static final int BLOCKS = 12;
    /** Of an old connection's writes: begun, handed over, received; the others stay in the socket. */
    private static final int RECEIVED = 4;

    private static final String SEGMENT = ".segment";

    private static final byte OLD = (byte) 0xaa;
    private static final byte NEW = (byte) 0xbb;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private final List<FaultyFiles.Held> held = new ArrayList<>();
    private @Nullable BlkServer server;

    @AfterEach
    void stop() {
        held.forEach(FaultyFiles.Held::release);
        files.heal();
        if (server != null) {
            server.close();
        }
    }

    private BlkServer start() throws IOException {
        VolumeSpec plain = VolumeSpec.created("disk", directory.resolve("disk.img"), 1 << 20);
        VolumeSpec exclusive = VolumeSpec.created("mine", directory.resolve("mine.img"), 1 << 20)
                .asExclusive();
        server = BlkServer.start(BlkServerConfig.forTest(directory.resolve("data"), List.of(plain, exclusive))
                .nbdLimits(new NbdLimits(100, Duration.ofSeconds(10), 64, 2, 2 << 20, 16, 1, 1))
                .admissionPatience(Duration.ofMillis(300))
                .files(files)
                .build());
        return server;
    }

    /** A write that a request makes, not one that prepares another segment beside the one in use. */
    private static boolean isRequests(Call call, Path path, String suffix) {
        return call == Call.WRITE
                && path.toString().endsWith(suffix)
                && !Thread.currentThread().getName().equals("journal-prepare");
    }

    private FaultyFiles.Held hold(String suffix) {
        FaultyFiles.Held call = files.hold((kind, path) -> isRequests(kind, path, suffix));
        held.add(call);
        return call;
    }

    private static RawClient connect(BlkServer server, String export) throws IOException {
        return RawClient.on(server.nbdAddresses().getFirst(), export);
    }

    /** What the server says to who wants an export. */
    private static String answer(BlkServer server, String export) throws IOException {
        try (RawClient client = new RawClient(server.nbdAddresses().getFirst())) {
            client.greet("00000003");
            client.go(export);
            return client.takeOptionReplies();
        }
    }

    private static byte[] concat(byte[] first, byte[] second) {
        return ByteBuffer.allocate(first.length + second.length)
                .put(first)
                .put(second)
                .array();
    }

    private static byte[] writes(int flags, int first, int end, byte fill) {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        for (int i = first; i < end; i++) {
            byte[] data = new byte[BLOCK];
            Arrays.fill(data, fill);
            out.writeBytes(ByteBuffer.allocate(28 + BLOCK)
                    .putInt(Nbd.REQUEST_MAGIC)
                    .putShort((short) flags)
                    .putShort((short) Nbd.CMD_WRITE)
                    .putLong(i)
                    .putLong((long) i * BLOCK)
                    .putInt(BLOCK)
                    .put(data)
                    .array());
        }
        return out.toByteArray();
    }

    private static ArbiterRecord open(BlkServer server) {
        return server.coordinator()
                .open(OpenRequest.newBuilder()
                        .setVm("vm1")
                        .setHost("hostA")
                        .addVolumes("disk")
                        .build())
                .record();
    }

    private static ArbiterRecord protect(BlkServer server) {
        ArbiterRecord open = open(server);
        long generation = server.coordinator()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm("vm1")
                        .setGeneration(open.getGeneration())
                        .setBackup("hostB")
                        .build())
                .record()
                .getGeneration();
        server.coordinator()
                .seal(SealRequest.newBuilder()
                        .setVm("vm1")
                        .setGeneration(generation)
                        .setEpoch(1)
                        .build());
        return server.coordinator()
                .commit(CommitRequest.newBuilder()
                        .setVm("vm1")
                        .setGeneration(generation)
                        .setEpoch(1)
                        .build())
                .record();
    }

    /** How a volume is used, and how the newcomer comes by the old one's place. */
    private record Case(String oldName, String newName, String lastName, boolean oldDies, String held) {
        static Case of(String kind, BlkServer server) {
            return switch (kind) {
                case "session" -> new Case("disk;session=a.1", "disk;session=a.2", "disk;session=a.3", false, ".img");
                case "held" -> {
                    String name = "disk@" + open(server).getPrimaryGeneration();
                    yield new Case(name, name, name, false, ".img");
                }
                case "protected" -> {
                    String name = "disk@" + protect(server).getPrimaryGeneration();
                    yield new Case(name, name, name, false, SEGMENT);
                }
                case "protected session" -> {
                    String name = "disk@" + protect(server).getPrimaryGeneration() + ";session=a.";
                    yield new Case(name + "1", name + "2", name + "3", false, SEGMENT);
                }
                case "exclusive" -> new Case("mine", "mine", "mine", false, ".img");
                case "gone" -> new Case("disk", "disk", "disk", true, ".img");
                default -> throw new IllegalArgumentException(kind);
            };
        }
    }

    @ParameterizedTest
    @CsvSource({
        "session,true", "session,false",
        "held,true", "held,false",
        "protected,true", "protected,false",
        "protected session,true", "protected session,false",
        "exclusive,true", "exclusive,false",
        "gone,true", "gone,false"
    })
    void noOldWriteLandsAfterTheNewcomerIsAdmitted(String kind, boolean onOtherThreads) throws Exception {
        BlkServer first = start();
        Case test = Case.of(kind, first);
        FaultyFiles.Held write = hold(test.held());
        int flags = onOtherThreads ? Nbd.CMD_FLAG_FUA : 0;
        // Where a write would go to the journal together with those behind it, FUA lets it go alone, on the event loop.
        int firstFlags = test.held().equals(SEGMENT) ? Nbd.CMD_FLAG_FUA : flags;
        try (RawClient old = connect(first, test.oldName())) {
            old.send(concat(writes(firstFlags, 0, 1, OLD), writes(flags, 1, RECEIVED, OLD)));
            write.awaitReached();
            old.send(writes(flags, RECEIVED, BLOCKS, OLD));
            if (test.oldDies()) {
                old.die();
            }

            assertThat(answer(first, test.newName()))
                    .as("while the old one's write is under way")
                    .startsWith("80000002")
                    .contains("try again");
            write.release();
            try (RawClient newcomer = connect(first, test.newName())) {
                newcomer.send(writes(0, 0, 1, NEW));
                newcomer.expectSuccess(0);
                if (!test.oldDies()) {
                    old.expectNothingBut(0);
                }
                newcomer.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
                newcomer.expectSuccess(1);
            }
        }
        first.close(); // every thread of it has ended
        try (RawClient reader = connect(start(), test.lastName())) {
            reader.request(0, Nbd.CMD_READ, 1, 0, BLOCK * BLOCKS);
            reader.expect("668e33ef 0001 0001 0000000000000001 %08x 0000000000000000".formatted(8 + BLOCK * BLOCKS));
            assertThat(reader.take(BLOCK)).isEqualTo("bb".repeat(BLOCK));
            assertThat(reader.take(BLOCK * (BLOCKS - 1)))
                    .as("writes that had not begun")
                    .isEqualTo("00".repeat(BLOCK * (BLOCKS - 1)));
        }
    }

    @Test
    void writesThatGoToTheJournalTogetherAreAllDoneBeforeTheNewcomerIsAdmittedOrNotAtAll() throws Exception {
        BlkServer first = start();
        String name = "disk@" + protect(first).getPrimaryGeneration();
        FaultyFiles.Held write = hold(SEGMENT);
        String admitted;
        try (RawClient old = connect(first, name)) {
            old.send(writes(0, 0, RECEIVED, OLD));
            write.awaitReached();
            old.send(writes(0, RECEIVED, BLOCKS, OLD));
            assertThat(answer(first, name)).startsWith("80000002").contains("try again");
            write.release();
            try (RawClient newcomer = connect(first, name)) {
                admitted = content(newcomer);
                assertThat(admitted.substring(0, 2 * BLOCK)).isEqualTo("aa".repeat(BLOCK));
                assertThat(admitted.substring(2 * BLOCK * RECEIVED))
                        .as("writes that had not begun")
                        .isEqualTo("00".repeat(BLOCK * (BLOCKS - RECEIVED)));
                newcomer.send(writes(0, 1, 2, NEW));
                newcomer.expectSuccess(1);
            }
        }
        first.close(); // every thread of it has ended
        try (RawClient reader = connect(start(), name)) {
            assertThat(content(reader))
                    .isEqualTo(admitted.substring(0, 2 * BLOCK) + "bb".repeat(BLOCK) + admitted.substring(4 * BLOCK));
        }
    }

    private static String content(RawClient client) throws IOException {
        client.request(0, Nbd.CMD_READ, 77, 0, BLOCK * BLOCKS);
        client.expect("668e33ef 0001 0001 000000000000004d %08x 0000000000000000".formatted(8 + BLOCK * BLOCKS));
        return client.take(BLOCK * BLOCKS);
    }

    @Test
    void eachOfTheWritesThatCannotGoToTheJournalTogetherIsAnsweredForItself() throws Exception {
        BlkServer running = start();
        String name = "disk@" + protect(running).getPrimaryGeneration();
        AtomicInteger calls = new AtomicInteger();
        // Together; then, where that left records behind, destroying the four of them; the first; the second.
        Set<Integer> failing = Set.of(1, 7);
        files.inject((call, path) -> {
            if (isRequests(call, path, SEGMENT) && failing.contains(calls.incrementAndGet())) {
                throw new IOException("injected");
            }
        });
        try (RawClient client = connect(running, name)) {
            client.send(writes(0, 0, 4, OLD));
            client.expectSuccess(0);
            assertThat(client.takeError(1)).startsWith("5 ").contains("injected");
            client.expectSuccess(2);
            client.expectSuccess(3);
            files.heal();
            client.request(0, Nbd.CMD_READ, 9, 0, 4 * BLOCK);
            client.expect("668e33ef 0001 0001 0000000000000009 %08x 0000000000000000".formatted(8 + 4 * BLOCK));
            assertThat(client.take(4 * BLOCK))
                    .isEqualTo("aa".repeat(BLOCK) + "00".repeat(BLOCK) + "aa".repeat(2 * BLOCK));
        }
    }

    @Test
    void aNewcomerWaitsForWhatIsUnderWayAndIsThenAdmitted() throws Exception {
        BlkServer running = start();
        FaultyFiles.Held write = hold(".img");
        try (RawClient old = connect(running, "disk;session=a.1")) {
            old.send(writes(Nbd.CMD_FLAG_FUA, 0, 1, OLD));
            write.awaitReached();
            CompletableFuture<String> newcomer = new CompletableFuture<>();
            Thread.ofVirtual().start(() -> {
                try {
                    newcomer.complete(answer(running, "disk;session=a.2"));
                } catch (IOException e) {
                    newcomer.completeExceptionally(e);
                }
            });
            old.expectClosed(); // told before it is waited for
            write.release();
            assertThat(newcomer.get(20, TimeUnit.SECONDS)).matches("00000001|80000002 disk: requests of .*");
        }
    }

    @Test
    void connectionsOfOneSessionAndOneIncarnationLiveTogether() throws Exception {
        BlkServer running = start();
        for (String volume : new String[] {"disk", "mine"}) {
            try (RawClient one = connect(running, volume + ";session=a.7");
                    RawClient two = connect(running, volume + ";session=a.7")) {
                one.send(writes(0, 0, 1, OLD));
                one.expectSuccess(0);
                two.send(writes(0, 1, 2, OLD));
                two.expectSuccess(1);
                one.request(0, Nbd.CMD_FLUSH, 9, 0, 0);
                one.expectSuccess(9);
                assertThat(answer(running, volume + ";session=a.6"))
                        .isEqualTo("80000002 " + volume
                                + ": session a has gone on as a.7; connect with that or a higher number");
            }
        }
    }

    @Test
    void othersAreLeftAlone() throws Exception {
        BlkServer running = start();
        try (RawClient bare = connect(running, "disk");
                RawClient other = connect(running, "disk;session=b.1");
                RawClient one = connect(running, "disk;session=a.1");
                RawClient _ = connect(running, "disk;session=a.2");
                RawClient _ = connect(running, "disk")) {
            one.expectClosed();
            for (RawClient client : List.of(bare, other)) {
                client.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
                client.expectSuccess(1);
            }
        }
    }

    @Test
    void lookingAtAnExportEndsNobody() throws Exception {
        BlkServer running = start();
        String name = "disk@" + open(running).getPrimaryGeneration();
        try (RawClient primary = connect(running, name);
                RawClient curious = new RawClient(running.nbdAddresses().getFirst())) {
            curious.greet("00000003");
            curious.info(name);
            assertThat(curious.takeOptionReplies()).isEqualTo("00000001");
            primary.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
            primary.expectSuccess(1);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "disk,true",
        "disk;session=a.1,true",
        "mine,false",
        "mine;session=a.1,true",
        "disk@,false",
        "disk@;session=a.1,true"
    })
    void multiConnIsOfferedWhereConnectionsLiveTogether(String name, boolean expected) throws Exception {
        BlkServer running = start();
        String export =
                name.contains("@") ? name.replace("@", "@" + open(running).getPrimaryGeneration()) : name;
        try (RawClient client = new RawClient(running.nbdAddresses().getFirst())) {
            client.greet("00000003");
            assertThat((client.exportName(export) & Nbd.FLAG_CAN_MULTI_CONN) != 0)
                    .isEqualTo(expected);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "disk;",
        "disk;session=",
        "disk;session=a",
        "disk;session=A.1",
        "disk;session=a.01",
        "disk;session=a.-1",
        "disk;session=a.1234567890123456789",
        "disk;session=abcdefghijklmnopqrstuvwxyz0123456.1",
        "disk;other=a.1",
        "disk;session=a.1;session=a.1"
    })
    void aSessionThatIsNoneIsRefused(String name) throws Exception {
        assertThat(answer(start(), name)).startsWith("80000006 what follows the ; is not session=ID.N");
    }
}
