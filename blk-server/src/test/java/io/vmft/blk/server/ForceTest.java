package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.FencedException;
import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.inspect.Findings;
import io.vmft.blk.inspect.OfflineArbiter;
import io.vmft.blk.inspect.OfflineCheck;
import io.vmft.blk.inspect.OfflineData;
import io.vmft.proto.blk.v1.ArbiterChange;
import io.vmft.proto.blk.v1.Finding.Weight;
import io.vmft.proto.blk.v1.ForceRequest;
import io.vmft.proto.blk.v1.ForceRequest.Action;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.Refusal.Code;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An operator decides who may run a VM, of a server that runs and of one that does not. */
class ForceTest {
    @TempDir
    private Path directory;

    private BlkServer server;
    private Engine engine;

    @BeforeEach
    void start() throws IOException {
        server = BlkServer.start(config("disk").build());
        engine = new Engine(server, "vm1", "disk");
    }

    @AfterEach
    void stop() {
        server.close();
    }

    private BlkServerConfig.Builder config(String volume) {
        return BlkServerConfig.forTest(
                        directory.resolve("data"),
                        List.of(VolumeSpec.created(volume, directory.resolve(volume + ".img"), 1 << 20)))
                .journal(JournalSettings.DEFAULT.withSizes(64 << 20, 4 << 20).withApplyInterval(Duration.ofHours(1)));
    }

    private ForceRequest.Builder force(Action action, long generation) {
        return ForceRequest.newBuilder()
                .setVm("vm1")
                .setGeneration(generation)
                .setAction(action)
                .setBy("alice@storage")
                .setReason("both hosts burned");
    }

    private OfflineData offline(String bootId) {
        Path data = directory.resolve("data");
        return new OfflineData(
                data.resolve("index"),
                data.resolve("journal"),
                data.resolve("changes"),
                Map.of(),
                bootId,
                StoreFiles.SYSTEM);
    }

    private List<ArbiterChange> history() {
        return Objects.requireNonNull(server.coordinator().look("vm1"))
                .history()
                .getChangesList();
    }

    /** Protected; blocks 0, 1, 2 hold a (committed), b (sealed), c (open). */
    private ExportView protect() throws Exception {
        engine.protect();
        ExportView primary = engine.primary();
        engine.seal(1);
        engine.commit(1);
        Blocks.write(primary, 0, 'a');
        engine.seal(2);
        engine.commit(2);
        Blocks.write(primary, 1, 'b');
        engine.seal(3);
        Blocks.write(primary, 2, 'c');
        return primary;
    }

    @Test
    void closingCutsEverybodyOffFreesTheVolumeAndKeepsWhatWasWritten() throws Exception {
        AtomicInteger cut = new AtomicInteger();
        ExportView primary = protect();
        ExportView other = server.exports()
                .open(
                        "disk@" + engine.record().getStandbyGeneration(),
                        ClientIdentity.UNKNOWN,
                        _ -> cut.incrementAndGet());
        long generation = engine.record().getGeneration();

        Outcome outcome =
                server.coordinator().force(force(Action.CLOSE, generation).build());

        assertThat(outcome.refusal()).isNull();
        assertThat(outcome.record().getMode()).isEqualTo(Mode.CLOSED);
        assertThat(outcome.record().getGeneration()).isGreaterThan(generation + 1);
        assertThat(cut).hasValue(1);
        assertThatThrownBy(() -> Blocks.write(primary, 3, 'x')).isInstanceOf(FencedException.class);
        assertThatThrownBy(() -> Blocks.read(other, 0)).isInstanceOf(FencedException.class);
        assertThat(engine.sealWith(generation, 4)).isEqualTo(Code.FENCED);
        assertThat(engine.goSoloWith(generation)).isEqualTo(Code.FENCED);
        try (ExportView bare = engine.bare()) {
            assertThat(Blocks.text(bare, 4)).isEqualTo("abc.");
        }
        assertThat(history())
                .extracting(ArbiterChange::getMode)
                .containsExactly(Mode.SOLO, Mode.SYNCING, Mode.PROTECTED, Mode.CLOSED);
        ArbiterChange last = history().getLast();
        assertThat(last.getBy()).isEqualTo("alice@storage");
        assertThat(last.getReason()).isEqualTo("closed by force: both hosts burned");
        assertThat(last.getAtMillis()).isPositive();
    }

    @Test
    void aVmGivenToAHostIsThatHostsAndNobodyElses() throws Exception {
        ExportView primary = protect();
        Outcome outcome = server.coordinator()
                .force(force(Action.SOLO, engine.record().getGeneration())
                        .setHost("hostB")
                        .build());
        assertThat(outcome.record().getMode()).isEqualTo(Mode.SOLO);
        assertThat(outcome.record().getPrimary()).isEqualTo("hostB");
        assertThatThrownBy(() -> Blocks.write(primary, 3, 'x')).isInstanceOf(FencedException.class);
        assertThatThrownBy(() -> engine.open("hostA")).hasMessageContaining("held by hostB");
        engine.open("hostB");
        try (ExportView view = engine.primary()) {
            assertThat(Blocks.text(view, 4)).isEqualTo("abc.");
        }
    }

    @Test
    void whatChangedMeanwhileOrIsClosedOrHasNoReasonIsRefusedAndNothingChanges() throws Exception {
        protect();
        long generation = engine.record().getGeneration();
        assertThat(refusal(force(Action.CLOSE, generation - 1))).isEqualTo(Code.FENCED);
        assertThat(refusal(force(Action.CLOSE, generation).setReason(" "))).isEqualTo(Code.BAD_REQUEST);
        assertThat(refusal(force(Action.SOLO, generation))).isEqualTo(Code.BAD_REQUEST);
        assertThat(refusal(force(Action.ACTION_UNSPECIFIED, generation))).isEqualTo(Code.BAD_REQUEST);
        assertThat(refusal(force(Action.CLOSE, generation).setVm("vm2"))).isEqualTo(Code.WRONG_MODE);
        assertThat(engine.record().getGeneration()).isEqualTo(generation);
        assertThat(engine.sealWith(generation, 4)).isNull();
        assertThat(refusal(force(Action.CLOSE, generation))).isNull();
        assertThat(refusal(force(Action.CLOSE, engine.record().getGeneration())))
                .isEqualTo(Code.WRONG_MODE);
    }

    private @Nullable Code refusal(ForceRequest.Builder call) {
        Outcome outcome = server.coordinator().force(call.build());
        return outcome.refusal() == null ? null : outcome.refusal().getCode();
    }

    @Test
    void withoutAServerItIsDoneToItsDirectoryAndTheNextServerFindsItDone() throws Exception {
        protect();
        long generation = engine.record().getGeneration();
        server.close();
        assertThat(Objects.requireNonNull(OfflineArbiter.show(offline(BootId.ofThisHost()), "vm1"))
                        .inFlight())
                .containsExactly(3L);
        Outcome outcome = OfflineArbiter.force(
                offline(BootId.ofThisHost()), force(Action.CLOSE, generation).build(), 5_000);
        assertThat(outcome.refusal()).isNull();
        assertThat(outcome.record().getCommittedEpoch()).isEqualTo(3);
        Findings findings = new Findings(_ -> {});
        OfflineCheck.run(offline(BootId.ofThisHost()), findings);
        assertThat(findings.worst()).isEqualTo(Weight.NOTE);

        server = BlkServer.start(config("disk").build());
        engine = new Engine(server, "vm1", "disk");
        assertThat(engine.record().getMode()).isEqualTo(Mode.CLOSED);
        assertThat(engine.record().getGeneration()).isEqualTo(outcome.record().getGeneration());
        assertThat(history().getLast().getReason()).isEqualTo("closed by force: both hosts burned");
        assertThat(history().getLast().getAtMillis()).isEqualTo(5_000);
        try (ExportView bare = engine.bare()) {
            assertThat(Blocks.text(bare, 4)).isEqualTo("abc.");
        }
    }

    @Test
    void withoutAServerAfterAPowerLossWhatWasNotCommittedStaysDropped() throws Exception {
        protect();
        long generation = engine.record().getGeneration();
        server.close();
        Outcome outcome = OfflineArbiter.force(
                offline("another boot"),
                force(Action.SOLO, generation).setHost("hostC").build(),
                5_000);
        assertThat(outcome.refusal()).isNull();
        server = BlkServer.start(config("disk").bootId("another boot").build());
        engine = new Engine(server, "vm1", "disk");
        assertThat(engine.record().getPrimary()).isEqualTo("hostC");
        assertThat(engine.record().getDataLost()).isTrue();
        engine.open("hostC");
        assertThat(history())
                .extracting(ArbiterChange::getBy)
                .endsWith("block server", "alice@storage", "block server", "hostC");
        try (ExportView view = engine.primary()) {
            assertThat(Blocks.text(view, 4)).isEqualTo("a...");
        }
    }

    @Test
    void aVmWhoseDiskIsLostCanBeClosedAndAnEmptyImageTakesWhatTheJournalHolds() throws Exception {
        protect();
        long generation = engine.record().getGeneration();
        server.close();
        Files.delete(directory.resolve("disk.img"));
        assertThatThrownBy(() -> BlkServer.start(config("other").build())).hasMessageContaining("needs volume disk");
        assertThat(OfflineArbiter.force(
                                offline(BootId.ofThisHost()),
                                force(Action.CLOSE, generation).build(),
                                5_000)
                        .refusal())
                .isNull();
        assertThatThrownBy(() -> BlkServer.start(config("other").build()))
                .hasMessageContaining("the journal holds data for volume disk");
        BlkServer.start(config("disk").build()).settleAndClose(Duration.ofMinutes(1));
        Files.delete(directory.resolve("disk.img"));
        server = BlkServer.start(config("other").build());
        assertThat(new Engine(server, "vm1", "disk").record().getMode()).isEqualTo(Mode.CLOSED);
    }
}
