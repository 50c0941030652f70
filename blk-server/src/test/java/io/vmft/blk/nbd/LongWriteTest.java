package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.VolumeSpec;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Writes that come in pieces, over real sockets and files. */
@Timeout(120)
class LongWriteTest {
    private static final int SIZE = 16 << 20;
    private static final int PIECE = 1 << 20;
    private static final int LONG = 3 * PIECE;

    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private final List<AutoCloseable> open = new ArrayList<>();
    private final byte[] model = new byte[SIZE];
    private final Random random = new Random(1);
    private @Nullable BlkServer server;

    @AfterEach
    void close() throws Exception {
        files.heal();
        for (AutoCloseable resource : open.reversed()) {
            resource.close();
        }
    }

    private BlkServer start() throws IOException {
        BlkServer started = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), SIZE)))
                .listen(List.of(
                        new ListenAddress.Tcp("127.0.0.1", 0),
                        new ListenAddress.Unix(directory.resolve("socket"), ListenAddress.Unix.OWNER_ONLY)))
                .files(files)
                .build());
        open.add(started);
        server = started;
        return started;
    }

    private RawClient connect(String kind) throws IOException {
        BlkServer running = server == null ? start() : server;
        return connect(running.nbdAddresses().get(kind.equals("tcp") ? 0 : 1), "disk");
    }

    private RawClient connect(ListenAddress address, String export) throws IOException {
        RawClient client = RawClient.on(address, export);
        open.add(client);
        return client;
    }

    /** A write of random bytes, which the volume will hold if it succeeds. */
    private byte[] write(int flags, int cookie, int offset, int length) {
        byte[] data = new byte[length];
        random.nextBytes(data);
        if (offset + length <= SIZE) {
            System.arraycopy(data, 0, model, offset, length);
        }
        return ByteBuffer.allocate(28 + length)
                .putInt(Nbd.REQUEST_MAGIC)
                .putShort((short) flags)
                .putShort((short) Nbd.CMD_WRITE)
                .putLong(cookie)
                .putLong(offset)
                .putInt(length)
                .put(data)
                .array();
    }

    private void expectModel() throws IOException {
        assertThat(Arrays.mismatch(Files.readAllBytes(directory.resolve("disk.img")), model))
                .isEqualTo(-1);
    }

    @ParameterizedTest
    @ValueSource(strings = {"tcp", "unix"})
    void whatComesInAnyPortionsLandsWhereItBelongs(String kind) throws IOException {
        RawClient client = connect(kind);
        for (int i = 0; i < 20; i++) {
            byte[] one = write(
                    i % 3 == 0 ? Nbd.CMD_FLAG_FUA : 0, i, LONG + random.nextInt(SIZE - 2 * LONG), LONG - i * 1001);
            byte[] two = write(0, 100 + i, random.nextInt(4096), 500);
            for (int at = 0; at < one.length; ) {
                int portion = Math.min(one.length - at, 1 + random.nextInt(i % 2 == 0 ? 300_000 : 20_000));
                client.send(Arrays.copyOfRange(one, at, at + portion));
                at += portion;
            }
            client.send(two);
            String success = "6744669800000000%016x";
            assertThat(List.of(client.take(16), client.take(16)))
                    .as("in any order")
                    .contains(success.formatted(i), success.formatted(100 + i));
        }
        expectModel();
    }

    @ParameterizedTest
    @ValueSource(strings = {"tcp", "unix"})
    void aWriteThatFailsIsDrainedAndAnsweredOnce(String kind) throws IOException {
        RawClient client = connect(kind);
        client.send(write(0, 1, 0, LONG));
        client.expectSuccess(1);
        byte[] before = model.clone();
        files.inject((call, path) -> {
            if (call == Call.WRITE && path.toString().endsWith(".img")) {
                throw new NoSpaceException("full, on purpose");
            }
        });
        client.send(write(0, 2, PIECE, 2 * LONG));
        assertThat(client.takeError(2)).startsWith("28 full, on purpose");
        files.inject((call, path) -> {
            if (call == Call.WRITE && path.toString().endsWith(".img")) {
                throw new IOException("broken, on purpose");
            }
        });
        client.send(write(Nbd.CMD_FLAG_FUA, 3, 0, LONG));
        assertThat(client.takeError(3)).startsWith("5 broken, on purpose");
        files.heal();
        System.arraycopy(before, 0, model, 0, SIZE);
        client.send(write(0, 4, 2 * LONG, LONG));
        client.expectSuccess(4);
        expectModel();
    }

    @Test
    void aWritePastTheEndIsDrainedAndRefused() throws IOException {
        RawClient client = connect("tcp");
        client.send(write(0, 1, 0, LONG));
        client.expectSuccess(1);
        client.send(write(0, 2, SIZE - LONG + 1, LONG));
        assertThat(client.takeError(2)).startsWith("28 ");
        client.send(write(0, 3, SIZE - LONG, LONG));
        client.expectSuccess(3);
        expectModel();
    }

    /** The first piece goes to the image, what follows to the journal. */
    @Test
    void aVolumeThatBecomesProtectedMeanwhileIsJournaled() throws Exception {
        BlkServer running = start();
        long generation = running.coordinator()
                .open(OpenRequest.newBuilder()
                        .setVm("vm1")
                        .setHost("hostA")
                        .addVolumes("disk")
                        .build())
                .record()
                .getPrimaryGeneration();
        RawClient client = connect(running.nbdAddresses().getFirst(), "disk@" + generation);
        byte[] bytes = write(0, 1, 0, LONG);
        int half = 28 + PIECE + 100;
        client.send(Arrays.copyOf(bytes, half));
        Awaitility.await().until(() -> imageHolds(PIECE));
        long protection = running.coordinator()
                .beginProtect(BeginProtectRequest.newBuilder()
                        .setVm("vm1")
                        .setGeneration(generation)
                        .setBackup("hostB")
                        .build())
                .record()
                .getGeneration();
        running.coordinator()
                .seal(SealRequest.newBuilder()
                        .setVm("vm1")
                        .setGeneration(protection)
                        .setEpoch(1)
                        .build());
        client.send(Arrays.copyOfRange(bytes, half, bytes.length));
        client.expectSuccess(1);
        client.request(0, Nbd.CMD_READ, 2, 0, LONG);
        assertThat(client.takeChunks(2, 0, LONG)).isEqualTo(Arrays.copyOf(model, LONG));
        Arrays.fill(model, PIECE, LONG, (byte) 0);
        expectModel();
    }

    /** Whether the image begins with so much of the model. */
    private boolean imageHolds(int bytes) throws IOException {
        byte[] image = Files.readAllBytes(directory.resolve("disk.img"));
        return Arrays.equals(image, 0, bytes, model, 0, bytes);
    }

    @Test
    void ofADeadConnectionsWriteThereAreWholePiecesOrNone() throws Exception {
        RawClient client = connect("tcp");
        byte[] bytes = write(0, 1, 0, LONG);
        client.send(Arrays.copyOf(bytes, 28 + 3 * PIECE - 100));
        Arrays.fill(model, 2 * PIECE, LONG, (byte) 0);
        Awaitility.await().untilAsserted(this::expectModel);
        client.die();
        RawClient next = connect("unix");
        next.send(write(0, 1, 2 * LONG, LONG));
        next.expectSuccess(1);
        expectModel();
    }
}
