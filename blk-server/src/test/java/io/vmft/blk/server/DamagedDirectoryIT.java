package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.inspect.Findings;
import io.vmft.blk.inspect.OfflineArbiter;
import io.vmft.blk.inspect.OfflineCheck;
import io.vmft.blk.inspect.OfflineData;
import io.vmft.blk.inspect.OfflineExport;
import io.vmft.blk.journal.MetaView;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.blk.nbd.Tool;
import io.vmft.proto.blk.v1.Finding;
import io.vmft.proto.blk.v1.Finding.Weight;
import io.vmft.proto.blk.v1.ForceRequest;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.rocksdb.ColumnFamilyDescriptor;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.DBOptions;
import org.rocksdb.Options;
import org.rocksdb.RocksDB;
import org.rocksdb.WriteOptions;

/**
 * The directory of a server that was killed with SIGKILL, with one thing in it damaged or missing: the next one is refused in one line, and
 * nothing in the directory or the image is changed.
 */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class DamagedDirectoryIT {
    private static final int VOLUME_BYTES = 8 << 20;
    private static final int EPOCHS = 200;

    @TempDir
    private static Path directory;

    private int copies;

    /** Two servers one after the other, so that the second one's index has a table of what the first one wrote. */
    @BeforeAll
    void killServers() throws Exception {
        // A server looks once at its start what of the journal can go to the image, and then not again: what the second
        // one was given stays.
        Files.writeString(directory.resolve("settings.yaml"), "journal: {segment: 1M, apply_interval: 3600s}\n");
        try (KillableServer server = KillableServer.start(directory.resolve("log"), arguments())) {
            server.protect(1);
            server.writeEpochs(2, EPOCHS / 2);
            server.kill();
        }
        try (KillableServer server = KillableServer.start(directory.resolve("log"), arguments())) {
            server.writeEpochs(EPOCHS / 2 + 1, EPOCHS);
            server.kill();
        }
    }

    private static String[] arguments() {
        return new String[] {
            "--data",
            directory.resolve("data").toString(),
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--config",
            directory.resolve("settings.yaml").toString(),
            "--volume",
            "disk=" + directory.resolve("disk.img") + ",create=" + VOLUME_BYTES
        };
    }

    private interface Damage {
        void to(Path data) throws Exception;
    }

    private Path copy() throws Exception {
        Path copy = directory.resolve("copy-" + copies++);
        Tool.ok("cp", "-a", directory.resolve("data").toString(), copy.toString());
        return copy;
    }

    private static BlkServer start(Path data) throws IOException {
        return BlkServer.start(
                BlkServerConfig.forTest(data, List.of(VolumeSpec.existing("disk", directory.resolve("disk.img"))))
                        .build());
    }

    private static OfflineData offline(DataDirectory looked) throws IOException {
        return new OfflineData(
                looked.index(), looked.journal(), looked.changes(), Map.of(), BootId.ofThisHost(), StoreFiles.SYSTEM);
    }

    private static List<Finding> check(Path data) throws IOException {
        List<Finding> found = new ArrayList<>();
        try (DataDirectory looked = DataDirectory.look(data)) {
            OfflineCheck.run(offline(looked), new Findings(found::add));
        }
        return found;
    }

    private void refused(Damage damage, String... words) throws Exception {
        refused(Weight.INCONSISTENT, damage, words);
    }

    /** And an inspection says so too, with {@code weight} at worst. */
    private void refused(Weight weight, Damage damage, String... words) throws Exception {
        Path data = copy();
        damage.to(data);
        assertThat(check(data))
                .extracting(Finding::getWeight)
                .as(() -> String.join(", ", words))
                .contains(weight);
        List<String> segments = names(data.resolve("journal"));
        byte[] image = Files.readAllBytes(directory.resolve("disk.img"));
        assertThatThrownBy(() -> start(data).close())
                .isInstanceOf(IOException.class)
                .message()
                .doesNotContain("\n")
                .contains(words);
        assertThat(names(data.resolve("journal"))).isEqualTo(segments);
        assertThat(Files.readAllBytes(directory.resolve("disk.img"))).isEqualTo(image);
    }

    /** Where the last epochs are. */
    private static String newestSegment() throws IOException {
        try (DataDirectory looked = DataDirectory.look(directory.resolve("data"));
                MetaView index = MetaView.openReadOnly(looked.index(), true)) {
            return index.segments().stream()
                    .max(Comparator.comparingLong(SegmentEntry::id))
                    .orElseThrow()
                    .path(Path.of(""))
                    .toString();
        }
    }

    private static List<String> names(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    private static Path indexFile(Path data, String ending) throws IOException {
        try (Stream<Path> files = Files.list(data.resolve("index"))) {
            return files.filter(file -> file.toString().matches(".*" + ending))
                    .max(Comparator.comparingLong(file -> file.toFile().length()))
                    .orElseThrow();
        }
    }

    private static void flip(Path file, long at) throws IOException {
        try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
            bytes.seek(at);
            int value = bytes.read();
            bytes.seek(at);
            bytes.write(value ^ 0x40);
        }
    }

    private static void cut(Path file, long size) throws IOException {
        try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
            bytes.setLength(size);
        }
    }

    @Test
    void undamagedItIsConsistentAndStarts() throws Exception {
        assertThat(check(copy()))
                .allSatisfy(finding ->
                        assertThat(finding.getWeight()).as(finding.getMessage()).isEqualTo(Weight.NOTE));
        try (BlkServer server = start(copy())) {
            assertThat(new Engine(server, "vm1", "disk").record().getCommittedEpoch())
                    .isEqualTo(EPOCHS);
        }
    }

    @Test
    void aDamagedLogOfTheIndexIsRefused() throws Exception {
        refused(
                data -> flip(
                        indexFile(data, "log"), indexFile(data, "log").toFile().length() / 2),
                "index",
                "has lost",
                "restore",
                "--data");
        refused(
                data -> cut(
                        indexFile(data, "log"), indexFile(data, "log").toFile().length() / 2),
                "index",
                "has lost",
                "restore",
                "--data");
        refused(data -> cut(indexFile(data, "log"), 0), "index", "restore", "--data");
        refused(data -> Files.delete(indexFile(data, "log")), "index", "restore", "--data");
    }

    @Test
    void aDamagedTableOfTheIndexIsRefused() throws Exception {
        refused(data -> flip(indexFile(data, "sst"), 20), "index", ".sst", "restore", "--data");
        refused(data -> cut(indexFile(data, "sst"), 100), "index", ".sst", "restore", "--data");
        refused(data -> Files.delete(indexFile(data, "sst")), "index", "restore", "--data");
    }

    @Test
    void aDamagedManifestOfTheIndexIsRefused() throws Exception {
        refused(data -> flip(indexFile(data, "MANIFEST-.*"), 30), "index", "restore", "--data");
        refused(data -> cut(indexFile(data, "MANIFEST-.*"), 40), "index", "restore", "--data");
        refused(data -> Files.delete(indexFile(data, "MANIFEST-.*")), "index", "restore", "--data");
        refused(data -> Files.delete(data.resolve("index/CURRENT")), "index", "restore", "--data");
    }

    @Test
    void aMissingIndexIsRefused() throws Exception {
        refused(data -> Tool.ok("rm", "-r", data.resolve("index").toString()), "index", "new and empty", "--data");
    }

    @Test
    void anOlderIndexIsRefused() throws Exception {
        Path old = directory.resolve("old");
        Path data = directory.resolve("data-with-old-index");
        Path image = directory.resolve("other.img");
        String[] arguments = arguments();
        arguments[1] = data.toString();
        arguments[arguments.length - 1] = "disk=" + image + ",create=" + VOLUME_BYTES;
        try (KillableServer server = KillableServer.start(directory.resolve("log"), arguments)) {
            server.protect(1);
            server.writeEpochs(2, 10);
            Tool.ok("cp", "-a", data.resolve("index").toString(), old.toString());
            server.writeEpochs(11, 40);
            server.kill();
        }
        Tool.ok("rm", "-r", data.resolve("index").toString());
        Tool.ok("mv", old.toString(), data.resolve("index").toString());
        assertThat(check(data))
                .extracting(Finding::getMessage)
                .anySatisfy(message -> assertThat(message).contains("has lost what the journal was told"));
        looksAreRefused(data);
        assertThatThrownBy(() ->
                        BlkServer.start(BlkServerConfig.forTest(data, List.of(VolumeSpec.existing("disk", image)))
                                .build()))
                .hasMessageContaining("has lost what the journal was told");
    }

    private static void looksAreRefused(Path data) throws IOException {
        try (DataDirectory looked = DataDirectory.look(data)) {
            ForceRequest call = ForceRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(2)
                    .setAction(ForceRequest.Action.CLOSE)
                    .setBy("operator")
                    .setReason("a test")
                    .build();
            assertThatThrownBy(() -> OfflineArbiter.force(offline(looked), call, 1))
                    .hasMessageContaining("has lost");
            assertThatThrownBy(() -> OfflineArbiter.list(offline(looked))).hasMessageContaining("has lost");
            Path export = directory.resolve("export.img");
            assertThatThrownBy(() -> OfflineExport.run(offline(looked), "disk", OfflineExport.COMMITTED, export))
                    .hasMessageContaining("has lost");
            assertThat(export).doesNotExist();
        }
    }

    @Test
    void missingOrShortSegmentsAreRefused() throws Exception {
        String newest = newestSegment();
        refused(
                data -> Files.delete(data.resolve("journal").resolve(newest)),
                newest + ": this part of the journal is missing");
        refused(data -> cut(data.resolve("journal").resolve(newest), 4096), newest, "has 4096 bytes instead of");
        refused(data -> Tool.ok("rm", "-r", data.resolve("journal").toString()), "part of the journal is missing");
    }

    @Test
    void anotherFormatIsRefused() throws Exception {
        refused(Weight.UNKNOWN, DamagedDirectoryIT::setFormat, "has format 9, this server reads 1", "another --data");
    }

    private static void setFormat(Path data) throws Exception {
        String index = data.resolve("index").toString();
        List<ColumnFamilyDescriptor> families = new ArrayList<>();
        try (Options options = new Options()) {
            for (byte[] name : RocksDB.listColumnFamilies(options, index)) {
                families.add(new ColumnFamilyDescriptor(name));
            }
        }
        List<ColumnFamilyHandle> handles = new ArrayList<>();
        try (DBOptions options = new DBOptions();
                WriteOptions write = new WriteOptions().setSync(true);
                RocksDB db = RocksDB.open(options, index, families, handles)) {
            db.put(write, "format".getBytes(StandardCharsets.UTF_8), new byte[] {0, 0, 0, 9});
            handles.forEach(ColumnFamilyHandle::close);
        }
    }

    @Test
    void anImageOfAnotherSizeIsRefusedWhileTheVmIsOpen() throws Exception {
        Path image = directory.resolve("disk.img");
        long size = Files.size(image);
        try {
            for (long wrong : new long[] {size - 4096, size + 4096}) {
                cut(image, wrong);
                assertThatThrownBy(() -> start(copy()).close())
                        .hasMessageContaining("disk: image")
                        .hasMessageContaining("has " + wrong + " bytes")
                        .hasMessageContaining("restore");
            }
        } finally {
            cut(image, size);
        }
    }
}
