package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.FaultyFiles;
import io.vmft.blk.file.FaultyFiles.Call;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class VolumeGrowthTest {
    @TempDir
    private Path directory;

    private Path data() {
        return directory.resolve("data");
    }

    private Path image() {
        return directory.resolve("disk.img");
    }

    private BlkServer start() throws IOException {
        return BlkServer.start(BlkServerConfig.forTest(data(), List.of(VolumeSpec.created("disk", image(), 1 << 20)))
                .build());
    }

    private boolean grow(long sizeBytes) throws IOException {
        return VolumeGrowth.grow(StoreFiles.SYSTEM, data(), "disk", sizeBytes);
    }

    @Test
    void theVolumeIsLargerAndItsEndReadsAsZeroesAndTakesWrites() throws Exception {
        try (BlkServer server = start();
                ExportView view = server.exports().open("disk", ClientIdentity.UNKNOWN, _ -> {})) {
            Blocks.write(view, 255, 'a');
        }
        assertThat(grow(2 << 20)).isTrue();
        assertThat(grow(2 << 20)).isFalse();
        try (BlkServer server = start();
                ExportView view = server.exports().open("disk", ClientIdentity.UNKNOWN, _ -> {})) {
            assertThat(view.sizeBytes()).isEqualTo(2 << 20);
            assertThat(Blocks.read(view, 255)).isEqualTo('a');
            assertThat(Blocks.read(view, 256)).isZero();
            Blocks.write(view, 511, 'b');
            assertThat(Blocks.read(view, 511)).isEqualTo('b');
        }
        assertThat(Blocks.inFile(image(), 511)).isEqualTo('b');
    }

    @Test
    void whatTheJournalStillHoldsGoesIntoTheGrownImage() throws Exception {
        BlkServer server = start();
        Engine engine = new Engine(server, "vm1", "disk");
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        engine.close();
        server.close();
        grow(2 << 20);
        try (BlkServer again = start();
                ExportView view = again.exports().open("disk", ClientIdentity.UNKNOWN, _ -> {})) {
            assertThat(view.sizeBytes()).isEqualTo(2 << 20);
            assertThat(Blocks.read(view, 0)).isEqualTo('a');
        }
    }

    @Test
    void aRunningServerAVmThatIsOpenAndAShrinkAreRefused() throws Exception {
        try (BlkServer server = start()) {
            assertThatThrownBy(() -> grow(2 << 20)).hasMessageContaining("in use by another block server");
            new Engine(server, "vm1", "disk").open("hostA");
        }
        assertThatThrownBy(() -> grow(2 << 20)).hasMessageContaining("is a disk of VM vm1, which is open");
        assertThat(Files.size(image())).isEqualTo(1 << 20);
        try (BlkServer server = start()) {
            new Engine(server, "vm1", "disk").close();
        }
        assertThatThrownBy(() -> grow((1 << 20) - 1)).hasMessageContaining("never shrinks");
        assertThat(grow(2 << 20)).isTrue();
    }

    @Test
    void anImageThatWasEnlargedByHandIsNotCut() throws Exception {
        start().close();
        Files.write(image(), new byte[3 << 20]);
        assertThatThrownBy(() -> grow(2 << 20)).hasMessageContaining("never shrinks");
        assertThat(Files.size(image())).isEqualTo(3 << 20);
    }

    @Test
    void mistakesAreNamedAndMakeNothing() throws Exception {
        assertThatThrownBy(() -> grow(2 << 20)).hasMessageContaining("does not exist");
        assertThat(data()).doesNotExist();
        Files.createDirectory(data());
        assertThatThrownBy(() -> grow(2 << 20)).hasMessageContaining("is not a block server's directory");
        assertThat(data()).isEmptyDirectory();
        start().close();
        assertThatThrownBy(() -> VolumeGrowth.grow(StoreFiles.SYSTEM, data(), "dsik", 2 << 20))
                .hasMessageContaining("no volume dsik was ever served")
                .hasMessageContaining("disk");
    }

    @Test
    void aGrowthThatFailsOnTheWayIsFinishedByTheNext() throws Exception {
        start().close();
        FaultyFiles files = new FaultyFiles();
        files.inject((call, path) -> {
            if (call == Call.SYNC && path.equals(image())) {
                throw new IOException("injected");
            }
        });
        assertThatThrownBy(() -> VolumeGrowth.grow(files, data(), "disk", 2 << 20))
                .hasMessageContaining("injected");
        assertThat(grow(2 << 20)).isFalse();
        try (BlkServer server = start();
                ExportView view = server.exports().open("disk", ClientIdentity.UNKNOWN, _ -> {})) {
            assertThat(view.sizeBytes()).isEqualTo(2 << 20);
        }
    }
}
