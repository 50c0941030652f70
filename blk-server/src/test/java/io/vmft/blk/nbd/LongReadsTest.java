package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.VolumeSpec;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Long reads of an image without holes, which go to the client by either way of {@link LongReadWay}, over real sockets and files. */
@Timeout(120)
class LongReadsTest {
    private static final int SIZE = 16 << 20;

    private static final int DEPTH = 4;

    @TempDir
    private Path directory;

    /** Enough for both ways to have been taken several times, the reads of the one still under way when the other's begin. */
    @ParameterizedTest
    @CsvSource({"tcp,1048576", "unix,1048576", "tcp,3000000", "unix,3000000", "tcp,65536"})
    void bothWaysBringTheImage(String kind, int length) throws IOException {
        byte[] image = new byte[SIZE];
        new Random(1).nextBytes(image);
        Path path = Files.write(directory.resolve("disk.img"), image);
        FaultyFiles files = new FaultyFiles();
        BlkServerConfig config = BlkServerConfig.forTest(
                        directory.resolve("data"), List.of(VolumeSpec.parse("disk=" + path)))
                .listen(List.of(
                        new ListenAddress.Tcp("127.0.0.1", 0),
                        new ListenAddress.Unix(directory.resolve("socket"), ListenAddress.Unix.OWNER_ONLY)))
                .files(files)
                .build();
        try (BlkServer server = BlkServer.start(config);
                RawClient client = RawClient.on(server.nbdAddresses().get(kind.equals("tcp") ? 0 : 1), "disk")) {
            Random random = new Random(2);
            int reads = (128 << 20) / length;
            int[] offsets = random.ints(reads, 0, SIZE - length).toArray();
            List<byte[]> data = new ArrayList<>();
            for (int done = 0; done < reads; ) {
                while (data.size() < Math.min(reads, done + DEPTH)) {
                    client.request(0, Nbd.CMD_READ, data.size(), offsets[data.size()], length);
                    data.add(new byte[length]);
                }
                int read = client.takeChunkOfAny(data, offsets);
                if (read >= 0) {
                    int offset = offsets[read];
                    assertThat(Arrays.equals(data.get(read), 0, length, image, offset, offset + length))
                            .as("read %s", read)
                            .isTrue();
                    data.set(read, new byte[0]);
                    done++;
                }
            }
            assertThat(files.readBytes(path))
                    .as("bytes that were not sent by the kernel")
                    .isBetween(1L, (long) reads * length - 1);
        }
    }
}
