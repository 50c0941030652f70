package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.ExportView;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What stands in the image when the server has ended in order. The applier does nothing by itself here. */
class SettleTest {
    @TempDir
    private Path directory;

    private Path image;
    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws Exception {
        image = directory.resolve("disk.img");
        server = BlkServer.start(
                BlkServerConfig.forTest(directory.resolve("data"), List.of(VolumeSpec.created("disk", image, 1 << 20)))
                        .journal(JournalSettings.DEFAULT.withApplyInterval(Duration.ofHours(1)))
                        .build());
        engine = new Engine(server, "vm1", "disk");
    }

    @Test
    void whatIsCommittedIsInTheImageAndWhatIsNotIsNot() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        Blocks.write(primary, 1, 'b');
        server.settleAndClose(Duration.ofMinutes(1));
        assertThat(Blocks.inFile(image, 0)).isEqualTo('a');
        assertThat(Blocks.inFile(image, 1)).isZero();
    }

    @Test
    void aPlainCloseLeavesItInTheJournal() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        server.close();
        assertThat(Blocks.inFile(image, 0)).isZero();
    }
}
