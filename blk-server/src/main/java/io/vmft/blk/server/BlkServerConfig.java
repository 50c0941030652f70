package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.blk.volume.Offer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A block server's settings. Immutable; made by a {@link Builder}, which holds what is not asked for otherwise.
 *
 * @param data where journal and arbiter records are; created if missing
 * @param listen where NBD is served
 * @param control where engines connect (gRPC); port 0: any free port
 * @param admissionPatience how long a new connection waits for what those whose place it takes have under way
 * @param tls how NBD connections are encrypted; null: not at all
 * @param snapshotLimitBytes of what committed views keep of the past, all together; beyond that they end
 * @param bootId of the running kernel: tells a power loss from a killed process
 * @param files how files are opened
 */
public record BlkServerConfig(
        Path data,
        List<ListenAddress> listen,
        InetSocketAddress control,
        List<VolumeSpec> volumes,
        NbdLimits nbdLimits,
        JournalSettings journal,
        Duration admissionPatience,
        @Nullable TlsSettings tls,
        long snapshotLimitBytes,
        String bootId,
        StoreFiles files) {
    public static final long DEFAULT_SNAPSHOT_LIMIT_BYTES = 4L << 30;

    public BlkServerConfig {
        listen = List.copyOf(listen);
        volumes = List.copyOf(volumes);
        if (listen.isEmpty()) {
            throw new IllegalArgumentException("nowhere to serve NBD; name an address with --listen :5000");
        }
        if (volumes.isEmpty()) {
            throw new IllegalArgumentException("no volume to serve; name one with --volume NAME=IMAGE");
        }
        Set<String> names = new HashSet<>();
        for (VolumeSpec volume : volumes) {
            if (!names.add(volume.name())) {
                throw new IllegalArgumentException("volume " + volume.name() + " is named twice");
            }
        }
    }

    /** What a server has when nothing else is asked for; it still needs a directory, addresses and volumes. */
    public static Builder builder() {
        return new Builder();
    }

    /** For tests: everything on loopback with free ports, a small journal. */
    public static Builder forTest(Path data, List<VolumeSpec> volumes) {
        return builder()
                .data(data)
                .control(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0))
                .listen(List.of(new ListenAddress.Tcp("127.0.0.1", 0)))
                .volumes(volumes)
                .journal(JournalSettings.DEFAULT.withSizes(64 << 20, 4 << 20));
    }

    /** Gathers settings; each call replaces what was there. Not thread-safe. */
    public static final class Builder {
        private @Nullable Path data;
        private @Nullable InetSocketAddress control;
        private List<ListenAddress> listen = List.of();
        private List<VolumeSpec> volumes = List.of();
        private NbdLimits nbdLimits = NbdLimits.DEFAULT;
        private @Nullable TlsSettings tls;
        private JournalSettings journal = JournalSettings.DEFAULT;
        private Duration admissionPatience = Offer.DEFAULT_PATIENCE;
        private long snapshotLimitBytes = DEFAULT_SNAPSHOT_LIMIT_BYTES;
        private String bootId = BootId.ofThisHost();
        private StoreFiles files = StoreFiles.SYSTEM;

        private Builder() {}

        public Builder data(Path directory) {
            data = directory;
            return this;
        }

        public Builder control(InetSocketAddress address) {
            control = address;
            return this;
        }

        public Builder listen(List<ListenAddress> addresses) {
            listen = addresses;
            return this;
        }

        public Builder volumes(List<VolumeSpec> all) {
            volumes = all;
            return this;
        }

        public Builder nbdLimits(NbdLimits limits) {
            nbdLimits = limits;
            return this;
        }

        public Builder tls(@Nullable TlsSettings settings) {
            tls = settings;
            return this;
        }

        public Builder journal(JournalSettings settings) {
            journal = settings;
            return this;
        }

        public Builder admissionPatience(Duration limit) {
            admissionPatience = limit;
            return this;
        }

        public Builder snapshotLimit(long bytes) {
            snapshotLimitBytes = bytes;
            return this;
        }

        public Builder bootId(String id) {
            bootId = id;
            return this;
        }

        public Builder files(StoreFiles how) {
            files = how;
            return this;
        }

        @Nullable
        Path data() {
            return data;
        }

        List<VolumeSpec> volumes() {
            return volumes;
        }

        NbdLimits nbdLimits() {
            return nbdLimits;
        }

        @Nullable
        TlsSettings tls() {
            return tls;
        }

        JournalSettings journal() {
            return journal;
        }

        /**
         * Puts the settings together.
         *
         * @throws IllegalArgumentException with one line for the operator
         */
        public BlkServerConfig build() {
            if (data == null) {
                throw new IllegalArgumentException("no directory for the journal; name one with --data DIR");
            }
            if (control == null) {
                throw new IllegalArgumentException(
                        "nowhere for engines to connect; name an address with --control :5001");
            }
            return new BlkServerConfig(
                    data,
                    listen,
                    control,
                    volumes,
                    nbdLimits,
                    journal,
                    admissionPatience,
                    tls,
                    snapshotLimitBytes,
                    bootId,
                    files);
        }
    }
}
