package io.vmft.blk.server;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.tuple;

import io.vmft.blk.export.ExportView;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.inspect.Findings;
import io.vmft.blk.inspect.OfflineCheck;
import io.vmft.blk.inspect.OfflineData;
import io.vmft.blk.inspect.OfflineExport;
import io.vmft.blk.inspect.OfflineListing;
import io.vmft.blk.journal.MetaStore;
import io.vmft.blk.journal.SegmentEntry;
import io.vmft.proto.blk.v1.Finding;
import io.vmft.proto.blk.v1.Finding.Weight;
import io.vmft.proto.blk.v1.JournalEpoch;
import io.vmft.proto.blk.v1.JournalReply;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.rocksdb.ColumnFamilyDescriptor;
import org.rocksdb.ColumnFamilyHandle;
import org.rocksdb.DBOptions;
import org.rocksdb.FlushOptions;
import org.rocksdb.RocksDB;

/** What is said of a directory that a server left, whole and damaged in every way there is a word for. */
class InspectionTest {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 256;

    /** Of the volume's blocks, at the end of each epoch. */
    private static final Map<Long, byte[]> CONTENT = new TreeMap<>();

    @TempDir
    private static Path made;

    @TempDir
    private Path directory;

    private Path data = Path.of("");
    private Path image = Path.of("");
    private final List<Finding> found = new ArrayList<>();

    private static BlkServerConfig.Builder config(Path root) {
        return BlkServerConfig.forTest(
                        root.resolve("data"),
                        List.of(
                                VolumeSpec.created("disk", root.resolve("disk.img"), BLOCKS * BLOCK),
                                VolumeSpec.created("spare", root.resolve("spare.img"), 1 << 20)))
                .journal(JournalSettings.DEFAULT.withSizes(4 << 20, 128 << 10).withApplyInterval(Duration.ofHours(1)));
    }

    /** Epochs 1 and 2 are committed, 3 is sealed, 4 open; nothing of them is in the image but a first block. */
    @BeforeAll
    static void leaveADirectory() throws Exception {
        CONTENT.clear();
        byte[] now = new byte[BLOCKS];
        try (BlkServer server = BlkServer.start(config(made).build())) {
            Engine engine = new Engine(server, "vm1", "disk");
            engine.open("hostA");
            try (ExportView before = engine.primary()) {
                write(before, now, 0, 'z');
            }
            engine.beginProtect("hostB");
            ExportView primary = engine.primary();
            for (long epoch = 1; epoch <= 4; epoch++) {
                if (epoch > 1) {
                    for (int i = 0; i < 20; i++) {
                        write(primary, now, (int) (epoch * 10 + i), (char) ('a' + epoch));
                    }
                }
                if (epoch < 4) {
                    engine.seal(epoch);
                    CONTENT.put(epoch, now.clone());
                }
                if (epoch < 3) {
                    engine.commit(epoch);
                }
            }
            engine.view("@committed").close();
        }
    }

    private static void write(ExportView view, byte[] now, int block, char value) throws IOException {
        Blocks.write(view, block, value);
        now[block] = (byte) value;
    }

    @BeforeEach
    void copy() throws IOException {
        try (Stream<Path> files = Files.walk(made)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path target = directory.resolve(made.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(target);
                } else {
                    Files.copy(file, target);
                }
            }
        }
        data = directory.resolve("data");
        image = directory.resolve("disk.img");
    }

    private OfflineData offline(String bootId) {
        return new OfflineData(
                data.resolve("index"),
                data.resolve("journal"),
                data.resolve("changes"),
                Map.of("disk", image, "spare", directory.resolve("spare.img")),
                bootId,
                StoreFiles.SYSTEM);
    }

    private Weight check() {
        return check(BootId.ofThisHost());
    }

    private Weight check(String bootId) {
        found.clear();
        Findings findings = new Findings(found::add);
        OfflineCheck.run(offline(bootId), findings);
        found.forEach(finding -> System.out.println(finding.getWeight() + " " + finding.getMessage()));
        return findings.worst();
    }

    private void expect(Weight weight, String... texts) {
        assertThat(check()).isEqualTo(weight);
        assertThat(found.stream().filter(finding -> finding.getWeight() == weight))
                .anySatisfy(finding -> assertThat(finding.getMessage()).contains(texts));
    }

    private Map<String, String> tree() throws IOException {
        Map<String, String> tree = new TreeMap<>();
        try (Stream<Path> files = Files.walk(directory)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                tree.put(
                        file.toString(),
                        Files.getLastModifiedTime(file)
                                + (Files.isRegularFile(file) ? " " + Arrays.hashCode(Files.readAllBytes(file)) : ""));
            }
        }
        return tree;
    }

    private Path segment(int slot) {
        return data.resolve("journal").resolve("%06d.segment".formatted(slot));
    }

    private List<Path> segments() throws IOException {
        try (Stream<Path> files = Files.list(data.resolve("journal"))) {
            return files.sorted().toList();
        }
    }

    private static void flip(Path file, long at) throws IOException {
        try (RandomAccessFile bytes = new RandomAccessFile(file.toFile(), "rw")) {
            bytes.seek(at);
            int was = bytes.read();
            bytes.seek(at);
            bytes.write(was ^ 0x40);
        }
    }

    /** The largest file of the index whose name ends so. */
    private Path indexFile(String pattern) throws IOException {
        try (Stream<Path> files = Files.list(data.resolve("index"))) {
            return files.filter(file -> file.getFileName().toString().matches(pattern))
                    .max(Comparator.comparingLong(file -> file.toFile().length()))
                    .orElseThrow();
        }
    }

    private interface Change {
        void apply(RocksDB db, List<ColumnFamilyHandle> families) throws Exception;
    }

    /** Families: default, vm, volume, lane, segment. */
    private void changeIndex(Change change) throws Exception {
        List<ColumnFamilyHandle> handles = new ArrayList<>();
        List<ColumnFamilyDescriptor> families = Stream.of("default", "vm", "volume", "lane", "segment")
                .map(name -> new ColumnFamilyDescriptor(name.getBytes(UTF_8)))
                .toList();
        try (DBOptions options = new DBOptions();
                RocksDB db = RocksDB.open(options, data.resolve("index").toString(), families, handles)) {
            change.apply(db, handles);
            handles.forEach(ColumnFamilyHandle::close);
        }
    }

    @Test
    void whatAServerLeftIsConsistentAndIsNotChangedByLooking() throws Exception {
        Map<String, String> before = tree();
        assertThat(check()).isEqualTo(Weight.NOTE);
        assertThat(found).isEmpty();
        assertThat(OfflineListing.run(offline(BootId.ofThisHost()))).isNotEmpty();
        assertThat(tree()).isEqualTo(before);
    }

    @Test
    void itIsConsistentAfterAKilledServerAndAfterAPowerLossAndSaysWhatWillHappen() throws Exception {
        Files.write(segment(7), new byte[10]);
        assertThat(check("another boot")).isEqualTo(Weight.NOTE);
        assertThat(found.stream().map(Finding::getMessage))
                .anySatisfy(line -> assertThat(line).contains("000007.segment", "a spare"))
                .anySatisfy(line -> assertThat(line).contains("the host went down"))
                .anySatisfy(line -> assertThat(line).contains("VM vm1", "goes back to its epoch 2"))
                .anySatisfy(line -> assertThat(line).contains("volume disk", "drops 40 records"));
    }

    @Test
    void aFlippedByteIsFoundWhereverItCounts() throws Exception {
        // The first seal, then a header and 4 KiB for each write of epoch 2.
        flip(segment(0), 64 + 64 + 100);
        expect(Weight.INCONSISTENT, "000000.segment", "wrong payload of record 2", "at byte 64", "committed", "disk");
        flip(segment(0), 64 + 64 + 100);
        flip(segment(0), 64 + 20);
        expect(Weight.INCONSISTENT, "000000.segment", "wrong header of record 2", "at byte 64", "committed", "disk");
        flip(segment(0), 64 + 20);
        // After the 20 writes and the seal of epoch 2.
        flip(segment(0), 64 + 20L * (64 + BLOCK) + 64 + 64 + 5);
        expect(
                Weight.INCONSISTENT,
                "wrong payload of record 23",
                "not committed",
                "disk",
                "goes back to the last commit");
    }

    @Test
    void committedRecordsThatAreGoneFromTheEndAreMissed() throws Exception {
        try (RandomAccessFile bytes = new RandomAccessFile(segment(0).toFile(), "rw")) {
            long from = 64 + 15L * (64 + BLOCK);
            bytes.seek(from);
            bytes.write(new byte[(int) (bytes.length() - from)]);
        }
        expect(Weight.INCONSISTENT, "000000.segment", "record 17", "committed", "disk");
    }

    @Test
    void segmentsThatAreMissingShortOrLongAreFound() throws Exception {
        byte[] whole = Files.readAllBytes(segment(0));
        Files.delete(segment(0));
        expect(Weight.INCONSISTENT, "000000.segment", "missing", "disk", "restore it");
        Files.write(segment(0), Arrays.copyOf(whole, whole.length - 4096));
        expect(Weight.INCONSISTENT, "000000.segment", (whole.length - 4096) + " bytes instead of " + whole.length);
        Files.write(segment(0), Arrays.copyOf(whole, whole.length + 4096));
        expect(Weight.INCONSISTENT, "000000.segment", "bytes instead of");
        Files.write(segment(0), whole);
        assertThat(check()).isEqualTo(Weight.NOTE);
    }

    @Test
    void aCatalogueThatDoesNotFitItselfIsFound() throws Exception {
        assertThat(segments()).hasSize(2);
        byte[] first = ByteBuffer.allocate(8).putLong(1).array();
        byte[] second = ByteBuffer.allocate(8).putLong(2).array();
        byte[][] was = new byte[1][];
        changeIndex((db, families) -> {
            was[0] = db.get(families.get(4), first);
            db.delete(families.get(4), first);
        });
        expect(Weight.INCONSISTENT, "index", "records 1 to", "are in no segment");
        changeIndex((db, families) -> db.put(families.get(4), first, entry(1, 0, 128 << 10, 1, 1000)));
        expect(Weight.INCONSISTENT, ".segment: begins with record", "ends with 1000");
        changeIndex((db, families) -> db.put(families.get(4), first, entry(1, 0, 128 << 10, 1, -1)));
        expect(Weight.INCONSISTENT, "000000.segment", "still being filled");
        changeIndex((db, families) -> {
            db.put(families.get(4), first, was[0]);
            byte[] other = db.get(families.get(4), second);
            db.put(families.get(4), second, ByteBuffer.wrap(other).putInt(0, 0).array());
        });
        expect(Weight.INCONSISTENT, "000000.segment", "segments 1 and 2");
    }

    private static byte[] entry(long id, int slot, long size, long first, long last) {
        assertThat(new SegmentEntry(id, slot, size, first, last).slot()).isEqualTo(slot);
        return ByteBuffer.allocate(28)
                .putInt(slot)
                .putLong(size)
                .putLong(first)
                .putLong(last)
                .array();
    }

    @Test
    void anIndexThatCannotBeReadIsFound() throws Exception {
        Path log = indexFile("\\d+\\.log");
        long middle = Files.size(log) / 3;
        flip(log, middle);
        expect(Weight.INCONSISTENT, "index", "restore the server's directory");
        flip(log, middle);
        Path manifest = indexFile("MANIFEST-.*");
        flip(manifest, Files.size(manifest) / 2);
        expect(Weight.INCONSISTENT, "index", "restore the server's directory");
        flip(manifest, Files.size(manifest) / 2);
        assertThat(check()).isEqualTo(Weight.NOTE);
        Path current = data.resolve("index/CURRENT");
        Files.delete(current);
        expect(Weight.INCONSISTENT, "CURRENT is missing");
    }

    @Test
    void aDamagedTableOfTheIndexIsFound() throws Exception {
        // Opening and closing for writing puts the log into tables.
        changeIndex((db, families) -> db.flush(new FlushOptions(), families));
        assertThat(check()).isEqualTo(Weight.NOTE);
        flip(indexFile("\\d+\\.sst"), 10);
        expect(Weight.INCONSISTENT, "index", "restore the server's directory");
    }

    @Test
    void anotherFormatCannotBeJudged() throws Exception {
        changeIndex((db, families) -> db.put("format".getBytes(UTF_8), new byte[] {0, 0, 0, 2}));
        expect(Weight.UNKNOWN, "has format 2, this server reads 1");
    }

    @Test
    void valuesThatCannotBeDecodedAreFound() throws Exception {
        byte[] lane = ByteBuffer.allocate(5).putInt(1).put((byte) 'd').array();
        changeIndex((db, families) -> db.put(families.get(3), lane, new byte[12]));
        expect(Weight.INCONSISTENT, "index", "lane", "cannot be read");
        byte[] backwards = ByteBuffer.allocate(16).putLong(9).putLong(5).array();
        changeIndex((db, families) -> db.put(families.get(3), lane, backwards));
        expect(Weight.INCONSISTENT, "index", "lane", "cannot be read");
        changeIndex((db, families) -> {
            db.delete(families.get(3), lane);
            db.put(families.get(1), "vm1".getBytes(UTF_8), new byte[20]);
        });
        expect(Weight.INCONSISTENT, "index", "VM vm1");
    }

    @Test
    void anArbiterThatDoesNotGoWithTheVolumesIsFound() throws Exception {
        try (MetaStore meta = MetaStore.open(data.resolve("index"))) {
            int lane = Objects.requireNonNull(meta.volumes().get("disk")).lane();
            try (MetaStore.Batch batch = meta.batch()) {
                batch.putCommitted(lane, 21).write(true);
            }
        }
        expect(Weight.INCONSISTENT, "arbiter: VM vm1", "epoch 2", "volume disk is committed through 21");
        changeIndex((db, families) -> db.delete(families.get(2), "disk".getBytes(UTF_8)));
        expect(Weight.INCONSISTENT, "arbiter: VM vm1", "volume disk, which the index does not know");
    }

    @Test
    void aCommitPointBehindTheEndOfTheJournalIsFound() throws Exception {
        byte[] second = ByteBuffer.allocate(8).putLong(2).array();
        byte[] spare = ByteBuffer.allocate(5).putInt(2).put((byte) 'c').array();
        changeIndex((db, families) -> {
            byte[] entry = db.get(families.get(4), second);
            db.put(
                    families.get(4),
                    second,
                    ByteBuffer.wrap(entry).putLong(20, 63).array());
            db.put(families.get(3), spare, ByteBuffer.allocate(8).putLong(90).array());
        });
        expect(Weight.INCONSISTENT, "index", "volume spare is committed through record 90", "ends at 63");
    }

    @Test
    void aRecordOfNobodyIsFound() throws Exception {
        changeIndex((db, families) -> {
            db.put("lanes".getBytes(UTF_8), new byte[] {0, 0, 0, 1});
        });
        expect(Weight.INCONSISTENT, "index", "has the number 2 in the journal, the newest one given out is 1");
    }

    @Test
    void imagesThatAreMissingShortLongLockedOrNoneAreFound() throws Exception {
        try (FileChannel other = FileChannel.open(image, StandardOpenOption.WRITE);
                FileLock lock = other.lock()) {
            assertThat(lock.isValid()).isTrue();
            expect(Weight.UNKNOWN, "disk.img", "volume disk", "in use");
        }
        try (RandomAccessFile bytes =
                new RandomAccessFile(directory.resolve("spare.img").toFile(), "rw")) {
            bytes.setLength(2 << 20);
            assertThat(check()).isEqualTo(Weight.NOTE);
            assertThat(found.getFirst().getMessage()).contains("spare.img", "2097152");
        }
        try (RandomAccessFile bytes = new RandomAccessFile(image.toFile(), "rw")) {
            bytes.setLength(2 << 20);
            expect(Weight.INCONSISTENT, "disk.img", "2097152", "VM vm1 has it open with 1048576", "cut it");
            bytes.setLength(4096);
        }
        expect(Weight.INCONSISTENT, "disk.img", "4096 bytes", "the volume has 1048576");
        Files.delete(image);
        expect(Weight.INCONSISTENT, "disk.img", "missing", "restore it", "60 records");
        Files.createDirectory(image);
        expect(Weight.INCONSISTENT, "disk.img", "is a directory");
        Files.delete(directory.resolve("spare.img"));
        check();
        assertThat(found)
                .anySatisfy(finding -> assertThat(finding.getMessage()).contains("spare.img", "nothing needs it"));
    }

    @Test
    void aChangeMapThatIsMissingOrShortIsFound() throws Exception {
        Path map;
        try (Stream<Path> files = Files.list(data.resolve("changes"))) {
            map = files.findFirst().orElseThrow();
        }
        try (RandomAccessFile bytes = new RandomAccessFile(map.toFile(), "rw")) {
            bytes.setLength(8);
        }
        expect(Weight.INCONSISTENT, map.getFileName().toString(), "8 bytes", "backup of disk must be a full one");
        Files.delete(map);
        expect(Weight.INCONSISTENT, map.getFileName().toString(), "missing");
    }

    @Test
    void theListingSaysHowFarEachEpochIs() throws Exception {
        List<JournalReply> all = OfflineListing.run(offline(BootId.ofThisHost()));
        assertThat(all.stream().filter(JournalReply::hasEpoch).map(JournalReply::getEpoch))
                .extracting(
                        JournalEpoch::getVolume,
                        JournalEpoch::getVm,
                        JournalEpoch::getEpoch,
                        epoch -> epoch.getState() + " " + epoch.getRecords() + " " + epoch.getBytes())
                .containsExactly(
                        tuple("disk", "vm1", 2L, "COMMITTED 20 83200"),
                        tuple("disk", "vm1", 3L, "SEALED 20 83200"),
                        tuple("disk", "vm1", 4L, "OPEN 20 83200"));
        assertThat(all.stream().filter(JournalReply::hasSegment)).isNotEmpty();
    }

    @Test
    void theListingSaysWhatItCouldNotRead() throws Exception {
        assertThat(segments()).hasSize(2);
        try (RandomAccessFile bytes = new RandomAccessFile(segment(0).toFile(), "rw")) {
            bytes.setLength(4096);
        }
        assertThat(OfflineListing.run(offline(BootId.ofThisHost())).stream()
                        .filter(JournalReply::hasSegment)
                        .map(reply -> reply.getSegment().getUnreadable()))
                .containsExactly(true, false);
        assertThatThrownBy(() -> OfflineExport.run(
                        offline(BootId.ofThisHost()), "disk", "committed", directory.resolve("out.img")))
                .hasMessageContaining("000000.segment")
                .hasMessageContaining("see blk-server check");
        Files.delete(segment(0));
        assertThat(OfflineListing.run(offline(BootId.ofThisHost())).stream()
                        .filter(JournalReply::hasSegment)
                        .map(reply -> reply.getSegment().getUnreadable()))
                .containsExactlyInAnyOrder(true, false);
    }

    @Test
    void whatIsExportedIsWhatTheVolumeHeldAtThatEpoch() throws Exception {
        Path out = directory.resolve("out.img");
        for (long epoch : new long[] {2, 3}) {
            OfflineExport.run(offline(BootId.ofThisHost()), "disk", Long.toString(epoch), out);
            assertThat(contentOf(out)).isEqualTo(CONTENT.get(epoch));
            Files.delete(out);
        }
        assertThat(OfflineExport.run(offline(BootId.ofThisHost()), "disk", "committed", out))
                .isEqualTo("epoch 2, committed");
        assertThat(contentOf(out)).isEqualTo(CONTENT.get(2L));
        assertThat(((Number) Files.getAttribute(out, "unix:nlink")).intValue()).isEqualTo(1);
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "disk", "3", out))
                .hasMessageContaining("is there already");
        Files.delete(out);
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "disk", "1", out))
                .hasMessage("disk: epoch 1 cannot be put together any more, newer ones may be in the image; there are 2"
                        + " (committed), 3 (sealed)");
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "disk", "4", out))
                .hasMessageContaining("epoch 4 is not sealed; there are 2 (committed), 3 (sealed)");
        assertThatThrownBy(() -> OfflineExport.run(offline("another boot"), "disk", "3", out))
                .hasMessageContaining("there are 2 (committed)");
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "spare", "3", out))
                .hasMessageContaining("no VM holds it");
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "none", "3", out))
                .hasMessageContaining("there are disk, spare");
        flip(segment(0), 64 + 64 + 100);
        assertThatThrownBy(() -> OfflineExport.run(offline(BootId.ofThisHost()), "disk", "2", out))
                .hasMessageContaining("damaged");
        assertThat(out).doesNotExist();
        try (Stream<Path> left = Files.list(directory)) {
            assertThat(left.map(file -> file.getFileName().toString())).noneMatch(name -> name.contains("partial"));
        }
    }

    /** The byte that fills each block. */
    private static byte[] contentOf(Path file) throws IOException {
        byte[] all = Files.readAllBytes(file);
        byte[] blocks = new byte[BLOCKS];
        assertThat(all).hasSize(BLOCKS * BLOCK);
        for (int i = 0; i < all.length; i++) {
            assertThat(all[i]).isEqualTo(all[i / BLOCK * BLOCK]);
            blocks[i / BLOCK] = all[i];
        }
        return blocks;
    }
}
