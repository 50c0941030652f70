package io.vmft.bench.durability;

import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.server.BlkServer;
import io.vmft.blk.server.BlkServerConfig;
import io.vmft.blk.server.JournalSettings;
import io.vmft.blk.server.VolumeSpec;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.List;

/** Starts servers in this process, with everything they have by default. */
final class Servers {
    static final String VOLUME = "disk";

    private Servers() {}

    /** One with one volume. */
    static BlkServer start(Path folder, long volumeBytes, long journalLimitBytes) throws IOException {
        return BlkServer.start(BlkServerConfig.builder()
                .data(folder.resolve("data"))
                .control(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .listen(List.of(new ListenAddress.Tcp("127.0.0.1", 0)))
                .journal(JournalSettings.DEFAULT.withSizes(journalLimitBytes, JournalSettings.DEFAULT.segmentBytes()))
                .volumes(List.of(VolumeSpec.created(VOLUME, folder.resolve("disk.img"), volumeBytes)))
                .build());
    }
}
