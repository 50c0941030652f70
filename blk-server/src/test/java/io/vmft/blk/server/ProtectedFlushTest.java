package io.vmft.blk.server;

import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A protected volume's flush asks nothing of storage: the next commit stands behind it. */
class ProtectedFlushTest {
    @TempDir
    private Path folder;

    private final FaultyFiles files = new FaultyFiles();

    private VolumeSpec volume(String name) {
        return VolumeSpec.created(name, folder.resolve(name + ".img"), 1 << 20);
    }

    @Test
    void itIsAnsweredWhileEverySyncAndEveryFlushThreadWaits() throws Exception {
        try (BlkServer server = BlkServer.start(
                BlkServerConfig.forTest(folder.resolve("data"), List.of(volume("disk"), volume("plain")))
                        .files(files)
                        .nbdLimits(new NbdLimits(10, Duration.ofSeconds(10), 64, 128, 2 << 20, 16, 1, 1))
                        .build())) {
            Engine engine = new Engine(server, "vm1", "disk");
            engine.protect();
            engine.seal(1);
            engine.commit(1);
            int port = ((ListenAddress.Tcp) server.nbdAddresses().getFirst()).port();
            try (PlainNbd guarded = new PlainNbd(port, "disk@" + engine.record().getPrimaryGeneration());
                    PlainNbd plain = new PlainNbd(port, "plain")) {
                plain.write(0, new byte[512]);
                FaultyFiles.Held held = files.hold(FaultyFiles.Call.SYNC, "plain.img");
                Thread stuck = Thread.ofPlatform().start(() -> flush(plain));
                held.awaitReached();
                guarded.write(0, new byte[512]);
                guarded.flush();
                held.release();
                stuck.join();
            }
        }
    }

    private static void flush(PlainNbd client) {
        try {
            client.flush();
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }
}
