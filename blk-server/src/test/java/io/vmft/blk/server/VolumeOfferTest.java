package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** To whom volumes are offered. */
class VolumeOfferTest {
    private static final ClientIdentity HOST_A = new ClientIdentity("host-a");
    private static final ClientIdentity HOST_B = new ClientIdentity("host-b");

    @TempDir
    private Path directory;

    private BlkServer server;

    @BeforeEach
    void start() throws Exception {
        server = BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(
                                VolumeSpec.created("open", directory.resolve("open.img"), 1 << 20),
                                new VolumeSpec(
                                        "closed",
                                        directory.resolve("closed.img"),
                                        1 << 20,
                                        false,
                                        false,
                                        "the books",
                                        Set.of("host-a"))))
                .build());
    }

    @AfterEach
    void stop() {
        server.close();
    }

    @Test
    void aVolumeWithAListIsForThoseOnIt() throws Exception {
        assertThat(server.exports().names(HOST_A)).containsExactly("closed", "open");
        try (ExportView view = server.exports().open("closed", HOST_A, _ -> {})) {
            assertThat(view.description()).isEqualTo("the books");
        }
    }

    @Test
    void othersNeitherSeeNorOpenIt() throws Exception {
        for (ClientIdentity other : List.of(HOST_B, ClientIdentity.UNKNOWN)) {
            assertThat(server.exports().names(other)).containsExactly("open");
            server.exports().open("open", other, _ -> {}).close();
        }
        assertThatThrownBy(() -> server.exports().open("closed", HOST_B, _ -> {}))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("closed is not for host-b");
        assertThatThrownBy(() -> server.exports().open("closed", ClientIdentity.UNKNOWN, _ -> {}))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("closed is only for clients that show a certificate");
    }

    @Test
    void theEmptyNameMeansTheOnlyVolume() throws Exception {
        assertThatThrownBy(() -> server.exports().open("", HOST_A, _ -> {}))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("several volumes");
        try (BlkServer single = BlkServer.start(BlkServerConfig.forTest(
                                directory.resolve("single"),
                                List.of(VolumeSpec.created("one", directory.resolve("one.img"), 1 << 20)))
                        .build());
                ExportView view = single.exports().open("", ClientIdentity.UNKNOWN, _ -> {})) {
            assertThat(view.description()).isEqualTo("vmft volume one");
            new Engine(single, "vm1", "one").open("hostA");
            assertThatThrownBy(() -> single.exports().open("", ClientIdentity.UNKNOWN, _ -> {}))
                    .isInstanceOf(ExportRefusedException.class)
                    .hasMessageContaining("one is held by VM vm1");
        }
    }

    @Test
    void theListHoldsForAHeldVolumesGenerationsToo() {
        Engine engine = new Engine(server, "vm1", "closed");
        String primary = "closed@" + engine.open("hostA").getPrimaryGeneration();
        assertThat(server.exports().names(HOST_A)).containsExactly("closed@committed", primary, "open");
        assertThat(server.exports().names(HOST_B)).containsExactly("open");
        assertThatThrownBy(() -> server.exports().open(primary, HOST_B, _ -> {}))
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("not for host-b");
    }
}
