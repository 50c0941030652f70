package io.vmft.blk.crash;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.control.Coordinator;
import io.vmft.blk.control.Coordinator.Outcome;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.server.BlkServer;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.Mode;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/** A server that came up on a disk after a power cut, asked as engines would ask it. */
final class Recovered implements AutoCloseable {
    private static final Duration PATIENCE = Duration.ofSeconds(30);

    private final Path disk;
    private final BlkServer server;
    private final Map<String, byte[]> contents = new HashMap<>();

    /**
     * Starts it.
     *
     * @throws AssertionError if it does not start
     */
    Recovered(Path disk, String bootId) {
        this.disk = disk;
        try {
            this.server = BlkServer.start(Recording.config(disk, bootId));
        } catch (IOException | RuntimeException e) {
            throw new AssertionError("the server does not come up: " + e.getMessage(), e);
        }
    }

    /** Whether everything may be as it is when the power went at {@code position}. Then what was protected goes on. */
    void check(List<Judge> judges, long position, Random random) throws IOException, ExportRefusedException {
        for (Judge judge : judges) {
            Party party = judge.party();
            ArbiterRecord record = server.coordinator().get(party.vm());
            Judge.Verdict verdict = judge.judge(position, record);
            String suffix = suffix(record);
            for (String volume : party.volumes()) {
                byte[] content = read(volume + suffix);
                verdict.volume(volume, content);
                contents.put(volume, content);
            }
            if (record.getMode() == Mode.PROTECTED) {
                String primary = "@" + goOn(record, random).getPrimaryGeneration();
                for (String volume : party.volumes()) {
                    if (!Arrays.equals(read(volume + primary), contents.get(volume))) {
                        throw new AssertionError(volume + " is not what its standby read before it went on");
                    }
                }
            }
        }
    }

    /** What each volume held. */
    Map<String, byte[]> contents() {
        return contents;
    }

    /** Ends it in order, and looks whether the images alone then hold what it served. */
    void checkImages() throws IOException {
        server.settleAndClose(PATIENCE);
        for (Map.Entry<String, byte[]> volume : contents.entrySet()) {
            byte[] image = Files.readAllBytes(disk.resolve(volume.getKey() + ".img"));
            if (!Arrays.equals(image, volume.getValue())) {
                throw new AssertionError(volume.getKey() + ": its image is not what was served, from byte "
                        + Arrays.mismatch(image, volume.getValue()));
            }
        }
    }

    /** Under which name the volumes can be read. */
    private String suffix(ArbiterRecord record) {
        return switch (record.getMode()) {
            case CLOSED -> "";
            case PROTECTED -> "@" + record.getStandbyGeneration();
            default -> "@" + open(record).getPrimaryGeneration();
        };
    }

    private ArbiterRecord goOn(ArbiterRecord record, Random random) {
        if (random.nextBoolean()) {
            return open(record);
        }
        return accepted(server.coordinator()
                .takeOver(TakeOverRequest.newBuilder()
                        .setVm(record.getVm())
                        .setGeneration(record.getGeneration())
                        .setHost(record.getBackup())
                        .setOldestEpoch(record.getCommittedEpoch())
                        .setNewestEpoch(Long.MAX_VALUE)
                        .build()));
    }

    private ArbiterRecord open(ArbiterRecord record) {
        Coordinator coordinator = server.coordinator();
        return accepted(coordinator.open(OpenRequest.newBuilder()
                .setVm(record.getVm())
                .setHost(record.getPrimary())
                .addAllVolumes(record.getVolumesList())
                .build()));
    }

    private static ArbiterRecord accepted(Outcome outcome) {
        if (outcome.refusal() != null) {
            throw new AssertionError(outcome.refusal().getMessage());
        }
        return outcome.record();
    }

    private byte[] read(String export) throws IOException, ExportRefusedException {
        try (ExportView view = server.exports().open(export, ClientIdentity.UNKNOWN, _ -> {})) {
            byte[] content = new byte[Math.toIntExact(view.sizeBytes())];
            ByteBuf buffer = Unpooled.directBuffer(content.length);
            try {
                view.read(0, content.length, buffer);
                buffer.readBytes(content);
            } finally {
                buffer.release();
            }
            return content;
        }
    }

    @Override
    public void close() {
        server.close();
    }
}
