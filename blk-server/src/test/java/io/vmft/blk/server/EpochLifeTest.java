package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.volume.WriteMode;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.Refusal.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A VM's life on a server in this process: open, protect, seal, commit, take over, go solo, close; and restarts between. */
class EpochLifeTest {
    private static final int BLOCK = 4096;

    @TempDir
    private Path directory;

    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        server = BlkServer.start(config().build());
        engine = new Engine(server, "vm1", "disk");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private BlkServerConfig.Builder config() {
        return BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), 1 << 20)))
                .journal(JournalSettings.DEFAULT.withSizes(64 << 20, 4 << 20).withApplyInterval(Duration.ofMillis(20)));
    }

    private void restart(String bootId) throws IOException {
        server.close();
        server = BlkServer.start(config().bootId(bootId).build());
        engine = new Engine(server, "vm1", "disk");
    }

    private void restart() throws IOException {
        restart(BootId.ofThisHost());
    }

    @Test
    void aBareVolumeKeepsWhatIsWrittenAndFlushed() throws Exception {
        try (ExportView view = engine.bare()) {
            Blocks.write(view, 3, 'a');
            view.flush();
            assertThat(Blocks.read(view, 3)).isEqualTo('a');
            assertThat(Blocks.read(view, 4)).isZero();
        }
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 3)).isEqualTo('a');
    }

    @Test
    void aVolumeHeldByAVmIsNotServedUnderItsBareNameAndBareViewsAreCut() throws Exception {
        AtomicInteger cut = new AtomicInteger();
        ExportView bare = server.exports().open("disk", ClientIdentity.UNKNOWN, _ -> cut.incrementAndGet());
        ArbiterRecord record = engine.open("hostA");
        assertThat(cut).hasValue(1);
        assertThatThrownBy(() -> Blocks.write(bare, 0, 'x')).isInstanceOf(FencedException.class);
        assertThatThrownBy(() -> engine.bare())
                .isInstanceOf(ExportRefusedException.class)
                .hasMessageContaining("vm1");
        assertThat(server.exports().names(ClientIdentity.UNKNOWN))
                .containsExactly("disk@committed", "disk@" + record.getPrimaryGeneration());
    }

    @Test
    void theStandbyReadsWhatIsCommittedAndNothingElse() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        ExportView standby = engine.standby();
        Blocks.write(primary, 0, 'a');
        engine.seal(1);
        Blocks.write(primary, 0, 'b');
        assertThat(Blocks.read(standby, 0))
                .as("before the first seal writes go to the image")
                .isEqualTo('a');
        engine.commit(1);
        assertThat(engine.record().getMode()).isEqualTo(Mode.PROTECTED);
        Blocks.write(primary, 1, 'c');
        engine.seal(2);
        Blocks.write(primary, 1, 'd');
        assertThat(Blocks.read(standby, 0)).isEqualTo('a');
        assertThat(Blocks.read(standby, 1)).isZero();
        engine.commit(2);
        assertThat(Blocks.read(standby, 0)).isEqualTo('b');
        assertThat(Blocks.read(standby, 1)).isEqualTo('c');
        assertThat(Blocks.read(primary, 1)).isEqualTo('d');
        assertThatThrownBy(() -> Blocks.write(standby, 5, 'x')).isInstanceOf(FencedException.class);
    }

    @Test
    void aTakeOverKeepsTheChosenEpochDropsTheRestAndTurnsTheStandbyInPlace() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        ExportView standby = engine.standby();
        engine.seal(1);
        Blocks.write(primary, 0, 'a');
        engine.commit(1);
        engine.seal(2);
        Blocks.write(primary, 0, 'b');
        Blocks.write(primary, 1, 'b');
        engine.seal(3);
        Blocks.write(primary, 0, 'c');

        assertThat(engine.takeOver("hostB", 1, 2)).isEqualTo(2);

        assertThat(Blocks.read(standby, 0)).isEqualTo('a');
        assertThat(Blocks.read(standby, 1)).isZero();
        Blocks.write(standby, 2, 'n');
        standby.flush();
        assertThatThrownBy(() -> Blocks.write(primary, 0, 'x')).isInstanceOf(FencedException.class);
        assertThatThrownBy(() -> Blocks.read(primary, 0)).isInstanceOf(FencedException.class);
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('a');
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 1)).isZero();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 2)).isEqualTo('n');
    }

    @Test
    void aTakeOverToASealedEpochCommitsIt() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'b');
        engine.seal(2);
        Blocks.write(primary, 0, 'c');
        assertThat(engine.takeOver("hostB", 1, 2)).isEqualTo(2);
        assertThat(Blocks.read(engine.primary(), 0)).isEqualTo('b');
    }

    @Test
    void goingSoloKeepsEverything() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'b');
        engine.seal(2);
        Blocks.write(primary, 0, 'c');
        engine.goSolo();
        assertThat(Blocks.read(primary, 0)).isEqualTo('c');
        Blocks.write(primary, 1, 'd');
        primary.flush();
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('c');
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 1)).isEqualTo('d');
        Blocks.write(primary, 0, 'e');
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 0)).isEqualTo('e');
    }

    @Test
    void aLateCallOfAFencedGenerationIsRefused() throws Exception {
        engine.protect();
        engine.seal(1);
        engine.commit(1);
        long old = engine.record().getGeneration();
        engine.takeOver("hostB", 1, 1);
        assertThat(engine.sealWith(old, 2)).isEqualTo(Code.FENCED);
        assertThat(engine.commitWith(old, 1)).isEqualTo(Code.FENCED);
        assertThat(engine.goSoloWith(old)).isEqualTo(Code.FENCED);
    }

    @Test
    void aProtectedVmGoesOnAfterARestartOfTheServer() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        Blocks.write(primary, 0, 'b');
        Blocks.write(primary, 7, 'z');
        ArbiterRecord before = engine.record();
        restart();
        assertThat(engine.record()).isEqualTo(before);
        assertThat(Blocks.read(engine.primary(), 0)).isEqualTo('b');
        assertThat(Blocks.read(engine.primary(), 7)).isEqualTo('z');
        assertThat(Blocks.read(engine.standby(), 0)).isZero();
        engine.commit(2);
        assertThat(Blocks.read(engine.standby(), 0)).isEqualTo('a');
        assertThat(Blocks.read(engine.standby(), 7)).isZero();
        assertThat(engine.takeOver("hostB", 2, 2)).isEqualTo(2);
        assertThat(Blocks.read(engine.primary(), 0)).isEqualTo('a');
        assertThat(Blocks.read(engine.primary(), 7)).isZero();
    }

    @Test
    void whatATakeOverDroppedStaysDroppedAfterARestart() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'x');
        engine.seal(2);
        Blocks.write(primary, 1, 'x');
        engine.takeOver("hostB", 1, 1);
        Blocks.write(engine.primary(), 2, 'n');
        restart();
        assertThat(Blocks.read(engine.primary(), 0)).isZero();
        assertThat(Blocks.read(engine.primary(), 1)).isZero();
        assertThat(Blocks.read(engine.primary(), 2)).isEqualTo('n');
    }

    @Test
    void afterAPowerLossAProtectedVmStandsAtItsLastCommit() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        Blocks.write(primary, 0, 'b');
        engine.seal(3);
        restart("another boot");
        assertThat(engine.record().getDataLost()).isTrue();
        assertThat(engine.record().getCommittedEpoch()).isEqualTo(2);
        assertThat(engine.sealWith(engine.record().getGeneration(), 4)).isEqualTo(Code.DATA_LOST);
        assertThat(engine.commitWith(engine.record().getGeneration(), 3)).isEqualTo(Code.DATA_LOST);
        assertThat(engine.commitWith(engine.record().getGeneration(), 2)).isNull();
        assertThat(engine.goSoloWith(engine.record().getGeneration())).isEqualTo(Code.DATA_LOST);
        assertThatThrownBy(() -> engine.primary()).isInstanceOf(ExportRefusedException.class);
        ExportView standby = engine.standby();
        assertThat(Blocks.read(standby, 0)).isEqualTo('a');
        assertThat(engine.takeOver("hostB", 2, 3)).isEqualTo(2);
        assertThat(engine.record().getDataLost()).isFalse();
        assertThat(Blocks.read(standby, 0)).isEqualTo('a');
        Blocks.write(standby, 0, 'n');
        restart("another boot");
        assertThat(Blocks.read(engine.primary(), 0)).isEqualTo('n');
    }

    @Test
    void aClosedVmsVolumeIsServedBareAgainWithEverythingInIt() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.close();
        assertThatThrownBy(() -> Blocks.write(primary, 0, 'x')).isInstanceOf(FencedException.class);
        try (ExportView bare = engine.bare()) {
            assertThat(Blocks.read(bare, 0)).isEqualTo('a');
            Blocks.write(bare, 1, 'b');
            bare.flush();
            assertThat(Blocks.read(bare, 1)).isEqualTo('b');
        }
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 1)).isEqualTo('b');
    }

    @Test
    void trimmedAndZeroedRangesReadAsZeroesAtEveryStage() throws Exception {
        engine.open("hostA");
        ExportView primary = engine.primary();
        for (int block = 0; block < 8; block++) {
            Blocks.write(primary, block, 'a');
        }
        engine.beginProtect("hostB");
        engine.seal(1);
        engine.commit(1);
        primary.trim(BLOCK, 2 * BLOCK, false);
        primary.writeZeroes(4 * BLOCK, BLOCK, false, false);
        primary.writeZeroes(5 * BLOCK, BLOCK, true, true);
        assertThat(Blocks.text(primary, 8)).isEqualTo("a..a..aa");
        engine.seal(2);
        assertThat(Blocks.text(engine.standby(), 8)).isEqualTo("aaaaaaaa");
        engine.commit(2);
        assertThat(Blocks.text(engine.standby(), 8)).isEqualTo("a..a..aa");
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        assertThat(Blocks.text(primary, 8)).isEqualTo("a..a..aa");
        engine.goSolo();
        engine.awaitDirect();
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 1)).isZero();
    }

    @Test
    void committedEpochsReachTheImageAndTheJournalIsGivenBack() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        for (int epoch = 2; epoch < 40; epoch++) {
            for (int block = 0; block < 256; block++) {
                Blocks.write(primary, block, (char) ('a' + epoch % 26));
            }
            engine.seal(epoch);
            engine.commit(epoch);
        }
        Awaitility.await().until(() -> engine.volume().overlay().isEmpty());
        // About 40 MiB were journaled in segments of 4 MiB; those given back are kept for a while, for more of the
        // same.
        Awaitility.await().atMost(Duration.ofMinutes(1)).until(() -> segmentFiles() < 8);
        assertThat(Blocks.inFile(directory.resolve("disk.img"), 255)).isEqualTo('a' + 39 % 26);
        assertThat(engine.volume().mode()).isEqualTo(WriteMode.JOURNALED);
    }

    private long segmentFiles() throws IOException {
        try (var files = Files.list(directory.resolve("data/journal"))) {
            return files.count();
        }
    }
}
