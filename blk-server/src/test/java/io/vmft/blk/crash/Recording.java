package io.vmft.blk.crash;

import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.JournalSettings;
import io.vmft.blk.server.VolumeSpec;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What servers did under a load, in one folder: the trace of the disk, what clients were answered, the servers' log.
 *
 * <pre>
 *   disk/      what the servers wrote, as it was left
 *   trace      of it
 *   history    what clients were answered
 *   blk.yaml   the servers' settings
 *   log        of the servers
 * </pre>
 */
record Recording(Path folder) {
    private static final int SEGMENT_BYTES = 64 << 10;
    private static final int LIMIT_BYTES = 512 << 10;
    private static final Duration APPLY_INTERVAL = Duration.ofMillis(15);

    Path disk() {
        return folder.resolve("disk");
    }

    Path traceFile() {
        return folder.resolve("trace");
    }

    Path historyFile() {
        return folder.resolve("history");
    }

    Path settings() {
        return folder.resolve("blk.yaml");
    }

    Path log() {
        return folder.resolve("log");
    }

    DiskTrace trace() {
        return new DiskTrace(disk(), traceFile());
    }

    History history() throws IOException {
        return History.read(historyFile());
    }

    void writeSettings() throws IOException {
        StringBuilder text = new StringBuilder(
                """
                data: %s/data
                listen: ["127.0.0.1:0"]
                control: 127.0.0.1:0
                journal: {segment: %dK, limit: %dK, apply_interval: %dms, writer_patience: 20ms}
                volumes:
                """.formatted(disk(), SEGMENT_BYTES >> 10, LIMIT_BYTES >> 10, APPLY_INTERVAL.toMillis()));
        for (String volume : volumes()) {
            text.append("  %s: {image: %s/%s.img, create: %dK}\n"
                    .formatted(volume, disk(), volume, Party.VOLUME_BYTES >> 10));
        }
        Files.writeString(settings(), text);
    }

    /** The settings of a server in this process that uses a disk like the one recorded. */
    static BlkServerConfig config(Path disk, String bootId) {
        List<VolumeSpec> specs = volumes().stream()
                .map(volume -> VolumeSpec.created(volume, disk.resolve(volume + ".img"), Party.VOLUME_BYTES))
                .toList();
        return BlkServerConfig.forTest(disk.resolve("data"), specs)
                .journal(new JournalSettings(LIMIT_BYTES, SEGMENT_BYTES, APPLY_INTERVAL, Duration.ofMillis(20)))
                .bootId(bootId)
                .build();
    }

    private static List<String> volumes() {
        List<String> all = new ArrayList<>();
        Party.ALL.forEach(party -> all.addAll(party.volumes()));
        return all;
    }
}
