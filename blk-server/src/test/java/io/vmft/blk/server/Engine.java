package io.vmft.blk.server;

import io.vmft.blk.control.Coordinator;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.volume.Volume;
import io.vmft.blk.volume.WriteMode;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CloseRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.GoSoloRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.util.Objects;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;

/** Says what an engine would, to a server in this process, with the generation that is current. */
final class Engine {
    private final BlkServer server;
    private final Coordinator coordinator;
    private final String vm;
    private final String volume;

    Engine(BlkServer server, String vm, String volume) {
        this.server = server;
        this.coordinator = server.coordinator();
        this.vm = vm;
        this.volume = volume;
    }

    ArbiterRecord record() {
        return coordinator.get(vm);
    }

    ArbiterRecord open(String host) {
        return accepted(coordinator.open(OpenRequest.newBuilder()
                .setVm(vm)
                .setHost(host)
                .addVolumes(volume)
                .build()));
    }

    void beginProtect(String backup) {
        accepted(coordinator.beginProtect(BeginProtectRequest.newBuilder()
                .setVm(vm)
                .setGeneration(record().getGeneration())
                .setBackup(backup)
                .build()));
    }

    /** Opened by hostA with backup hostB, mode SYNCING. */
    void protect() {
        open("hostA");
        beginProtect("hostB");
    }

    void seal(long epoch) {
        Refusal.Code refusal = sealWith(record().getGeneration(), epoch);
        if (refusal != null) {
            throw new AssertionError("seal " + epoch + ": " + refusal);
        }
    }

    Refusal.@Nullable Code sealWith(long generation, long epoch) {
        return code(coordinator.seal(SealRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build()));
    }

    void commit(long epoch) {
        Refusal.Code refusal = commitWith(record().getGeneration(), epoch);
        if (refusal != null) {
            throw new AssertionError("commit " + epoch + ": " + refusal);
        }
    }

    Refusal.@Nullable Code commitWith(long generation, long epoch) {
        return code(coordinator.commit(CommitRequest.newBuilder()
                .setVm(vm)
                .setGeneration(generation)
                .setEpoch(epoch)
                .build()));
    }

    void goSolo() {
        Refusal.Code refusal = goSoloWith(record().getGeneration());
        if (refusal != null) {
            throw new AssertionError("go solo: " + refusal);
        }
    }

    Refusal.@Nullable Code goSoloWith(long generation) {
        return code(coordinator.goSolo(
                GoSoloRequest.newBuilder().setVm(vm).setGeneration(generation).build()));
    }

    long takeOver(String host, long oldest, long newest) {
        return accepted(coordinator.takeOver(TakeOverRequest.newBuilder()
                        .setVm(vm)
                        .setGeneration(record().getGeneration())
                        .setHost(host)
                        .setOldestEpoch(oldest)
                        .setNewestEpoch(newest)
                        .build()))
                .getCommittedEpoch();
    }

    void close() {
        accepted(coordinator.close(CloseRequest.newBuilder()
                .setVm(vm)
                .setGeneration(record().getGeneration())
                .build()));
    }

    ExportView bare() throws ExportRefusedException {
        return server.exports().open(volume, ClientIdentity.UNKNOWN, _ -> {});
    }

    ExportView primary() throws ExportRefusedException {
        return server.exports().open(volume + "@" + record().getPrimaryGeneration(), ClientIdentity.UNKNOWN, _ -> {});
    }

    ExportView standby() throws ExportRefusedException {
        return server.exports().open(volume + "@" + record().getStandbyGeneration(), ClientIdentity.UNKNOWN, _ -> {});
    }

    /** A view named by the volume and {@code suffix}. */
    ExportView view(String suffix) throws ExportRefusedException {
        return server.exports().open(volume + suffix, ClientIdentity.UNKNOWN, _ -> {});
    }

    /** The point that a committed view's description names. */
    static long point(ExportView view) {
        Matcher point = Pattern.compile(", point ([0-9]+)").matcher(view.description());
        if (!point.find()) {
            throw new AssertionError(view.description());
        }
        return Long.parseLong(point.group(1));
    }

    String vm() {
        return vm;
    }

    Volume volume() {
        return Objects.requireNonNull(server.volumes().get(volume));
    }

    void awaitDirect() {
        Awaitility.await().until(() -> volume().mode() == WriteMode.DIRECT);
    }

    private static ArbiterRecord accepted(Outcome outcome) {
        if (outcome.refusal() != null) {
            throw new AssertionError(outcome.refusal().getMessage());
        }
        return outcome.record();
    }

    private static Refusal.@Nullable Code code(Outcome outcome) {
        return outcome.refusal() == null ? null : outcome.refusal().getCode();
    }
}
