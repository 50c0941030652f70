package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.NoSpaceException;
import io.vmft.blk.file.ScratchDisk;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The index on a disk that is full. */
class MetaStoreFaultsIT {
    private static final int RECORD_BYTES = 64 << 10;

    @TempDir
    private Path directory;

    private static boolean put(MetaStore store, int value) throws IOException {
        byte[] record = new byte[RECORD_BYTES];
        record[0] = (byte) value;
        try (MetaStore.Batch batch = store.batch()) {
            batch.putVm("vm1", record).write(true);
            return true;
        } catch (NoSpaceException e) {
            return false;
        }
    }

    private static byte stored(MetaStore store) throws IOException {
        return Objects.requireNonNull(store.vms().get("vm1"))[0];
    }

    @Test
    void itRefusesChangesWhileThereIsNoRoomAndTakesThemAfterwards() throws Exception {
        try (ScratchDisk disk = ScratchDisk.create(directory, 48 << 20)) {
            Path index = disk.path().resolve("index");
            int value = 0;
            try (MetaStore store = MetaStore.open(index)) {
                disk.fill();
                // RocksDB has reserved room for a part of its log.
                while (put(store, value)) {
                    value++;
                }
                assertThat(stored(store)).isEqualTo((byte) (value - 1));
                assertThat(put(store, 0)).isFalse();
                disk.makeRoom();
                int last = value;
                Awaitility.await().atMost(Duration.ofSeconds(30)).until(() -> put(store, last));
            }
            try (MetaStore store = MetaStore.open(index)) {
                assertThat(stored(store)).isEqualTo((byte) value);
            }
        }
    }
}
