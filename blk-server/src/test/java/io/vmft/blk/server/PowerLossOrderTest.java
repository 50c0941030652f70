package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.FaultyFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What must be synced, and before what, for a power loss to find it. What follows from each is shown by the tests of crash points. */
class PowerLossOrderTest {
    @TempDir
    private Path directory;

    private final FaultyFiles files = new FaultyFiles();
    private final List<String> calls = new CopyOnWriteArrayList<>();

    private Path image() {
        return directory.resolve("disk.img");
    }

    private BlkServer start() throws IOException {
        files.inject((call, path) -> calls.add(call + " " + directory.relativize(path)));
        return BlkServer.start(BlkServerConfig.forTest(
                        directory.resolve("data"), List.of(VolumeSpec.created("disk", image(), 1 << 20)))
                .files(files)
                .build());
    }

    @Test
    void aFlushCoversWhatAnEarlierProcessWroteAndDidNotSync() throws Exception {
        start().close();
        try (BlkServer server = start();
                ExportView view = new Engine(server, "vm1", "disk").bare()) {
            calls.clear();
            view.flush();
            assertThat(calls).containsExactly("SYNC disk.img");
            view.flush();
            assertThat(calls).hasSize(1);
        }
    }

    @Test
    void theFoldersOfTheDataAreSyncedIntoTheirParentsBeforeAnythingIsWrittenThere() throws Exception {
        start().close();
        assertThat(calls).startsWith("SYNC ", "SYNC data");
    }

    @Test
    void aSegmentIsOnTheDiskInItsWholeLengthBeforeItIsUsed() throws Exception {
        try (BlkServer server = start()) {
            Engine engine = new Engine(server, "vm1", "disk");
            engine.protect();
            engine.seal(1);
        }
        // Meanwhile the next segment may be made ready, with syncs of the folder too.
        assertThat(calls).contains("WRITE data/journal/000000.segment");
        assertThat(calls.stream().takeWhile(call -> !call.equals("WRITE data/journal/000000.segment")))
                .containsSubsequence(
                        "OPEN data/journal/000000.segment",
                        "RESERVE data/journal/000000.segment",
                        "SYNC data/journal/000000.segment",
                        "SYNC data/journal");
    }

    @Test
    void anImageWhoseCreationWasCutShortIsFinished() throws Exception {
        Files.createFile(image());
        start().close();
        assertThat(image()).hasSize(1 << 20);
        assertThat(calls).containsSubsequence("SYNC disk.img", "SYNC ");
    }
}
