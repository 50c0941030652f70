package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.nbd.ListenAddress;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Long reads, whose data the kernel sends from the image, and long writes. */
class LongRequestsTest {
    private static final int SIZE = 24 << 20;
    private static final int LONG = 64 << 10;

    @TempDir
    private Path folder;

    private final byte[] content = new byte[SIZE];
    private Path image;
    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        image = folder.resolve("disk.img");
        new Random(5).nextBytes(content);
        Files.write(image, content);
        server = BlkServer.start(
                BlkServerConfig.forTest(folder.resolve("data"), List.of(VolumeSpec.parse("disk=" + image)))
                        .build());
        engine = new Engine(server, "vm1", "disk");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private PlainNbd client(String export) throws IOException {
        return new PlainNbd(((ListenAddress.Tcp) server.nbdAddresses().getFirst()).port(), export);
    }

    private void check(PlainNbd client, long offset, int length) throws IOException {
        assertThat(client.read(offset, length))
                .isEqualTo(Arrays.copyOfRange(content, (int) offset, (int) offset + length));
    }

    @Test
    void everyLengthAroundTheBorderArrivesWhole() throws Exception {
        try (PlainNbd client = client("disk")) {
            for (int length : new int[] {LONG - 1, LONG, LONG + 1, 1 << 20, (3 << 20) + 17, 16 << 20}) {
                for (long offset : new long[] {0, 1, 4095, SIZE - length}) {
                    check(client, offset, length);
                }
            }
            check(client, 0, SIZE);
        }
    }

    @Test
    void longWritesAreThereWhenTheyWereAnswered() throws Exception {
        Random random = new Random(6);
        try (PlainNbd client = client("disk");
                PlainNbd other = client("disk")) {
            for (int i = 0; i < 40; i++) {
                byte[] data = new byte[LONG - 1 + random.nextInt(2 << 20)];
                random.nextBytes(data);
                int offset = random.nextInt(SIZE - data.length);
                client.write(offset, data);
                System.arraycopy(data, 0, content, offset, data.length);
                check(other, Math.max(0, offset - 5000), Math.min(data.length + 5000, SIZE - offset));
            }
            check(other, 0, SIZE);
        }
        assertThat(Files.readAllBytes(image)).isEqualTo(content);
    }

    @Test
    void aProtectedVolumesLongReadsSeeWhatTheImageDoesNotHave() throws Exception {
        engine.protect();
        engine.seal(1);
        byte[] data = new byte[300_000];
        new Random(7).nextBytes(data);
        try (PlainNbd client = client("disk@" + engine.record().getPrimaryGeneration())) {
            check(client, 0, 1 << 20);
            client.write(100_000, data);
            System.arraycopy(data, 0, content, 100_000, data.length);
            check(client, 0, 1 << 20);
            check(client, 99_999, data.length + 2);
        }
        assertThat(Files.readAllBytes(image)).isNotEqualTo(content);
    }

    @Test
    void anImageThatBecameShortCutsOneConnectionAndThenAnswersWithAnError() throws Exception {
        try (FileChannel file = FileChannel.open(image, StandardOpenOption.WRITE)) {
            file.truncate(SIZE / 2);
        }
        try (PlainNbd client = client("disk")) {
            check(client, 0, 1 << 20);
            assertThatThrownBy(() -> client.read(SIZE / 2 - 100_000, 1 << 20)).isInstanceOf(IOException.class);
        }
        try (PlainNbd client = client("disk")) {
            assertThatThrownBy(() -> client.read(SIZE / 2 - 100_000, 1 << 20)).hasMessageContaining("NBD error 5");
            check(client, 0, 1 << 20);
        }
        try (FileChannel file = FileChannel.open(image, StandardOpenOption.WRITE)) {
            file.write(ByteBuffer.wrap(content, SIZE / 2, SIZE / 2), SIZE / 2);
        }
        try (PlainNbd client = client("disk")) {
            check(client, 0, SIZE);
        }
    }
}
