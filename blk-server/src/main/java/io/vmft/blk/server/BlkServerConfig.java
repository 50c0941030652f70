package io.vmft.blk.server;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.NbdLimits;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * A block server's settings.
 *
 * @param data where journal and arbiter records are; created if missing
 * @param listen where NBD is served
 * @param control where engines connect (gRPC); port 0: any free port
 * @param journalLimitBytes journal bytes not yet in the images, above which writers wait
 * @param segmentBytes size of the journal's files
 * @param applyInterval how long a protected volume's commits gather before they go to the image
 * @param writerPatience how long a writer waits for journal room before it may exceed the limit by up to a quarter
 * @param bootId of the running kernel: tells a power loss from a killed process
 * @param files how files are opened
 */
public record BlkServerConfig(
        Path data,
        List<ListenAddress> listen,
        InetSocketAddress control,
        List<VolumeSpec> volumes,
        NbdLimits nbdLimits,
        long journalLimitBytes,
        long segmentBytes,
        Duration applyInterval,
        Duration writerPatience,
        String bootId,
        StoreFiles files) {
    public static final long DEFAULT_JOURNAL_LIMIT_BYTES = 1L << 30;
    public static final long DEFAULT_SEGMENT_BYTES = 64 << 20;
    private static final long MIN_SEGMENT_BYTES = 64 << 10;

    public BlkServerConfig {
        listen = List.copyOf(listen);
        volumes = List.copyOf(volumes);
        if (segmentBytes < MIN_SEGMENT_BYTES || segmentBytes > 1L << 30 || segmentBytes % 4096 != 0) {
            throw new IllegalArgumentException(
                    "journal segments of " + segmentBytes + " bytes; use a multiple of 4096 from 64K to 1G");
        }
        if (journalLimitBytes < 2 * segmentBytes) {
            throw new IllegalArgumentException(
                    "a journal of " + journalLimitBytes + " bytes; it must hold two segments of " + segmentBytes);
        }
        if (volumes.isEmpty()) {
            throw new IllegalArgumentException("no volume to serve; name one with --volume NAME=IMAGE");
        }
        if (volumes.stream().map(VolumeSpec::name).distinct().count() != volumes.size()) {
            throw new IllegalArgumentException("a volume is named twice");
        }
    }

    /** The settings a server has when nothing else is asked for. */
    public static BlkServerConfig of(
            Path data, List<ListenAddress> listen, InetSocketAddress control, List<VolumeSpec> volumes) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                NbdLimits.DEFAULT,
                DEFAULT_JOURNAL_LIMIT_BYTES,
                DEFAULT_SEGMENT_BYTES,
                Duration.ofSeconds(1),
                Duration.ofMillis(250),
                BootId.ofThisHost(),
                StoreFiles.SYSTEM);
    }

    /** For tests: everything on loopback with free ports, a small journal. */
    public static BlkServerConfig forTest(Path data, List<VolumeSpec> volumes) {
        return of(
                        data,
                        List.of(new ListenAddress.Tcp("127.0.0.1", 0)),
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                        volumes)
                .withJournal(64 << 20, 4 << 20);
    }

    public BlkServerConfig withJournal(long limitBytes, long segment) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                nbdLimits,
                limitBytes,
                segment,
                applyInterval,
                writerPatience,
                bootId,
                files);
    }

    public BlkServerConfig withApplyInterval(Duration interval) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                nbdLimits,
                journalLimitBytes,
                segmentBytes,
                interval,
                writerPatience,
                bootId,
                files);
    }

    public BlkServerConfig withBootId(String id) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                nbdLimits,
                journalLimitBytes,
                segmentBytes,
                applyInterval,
                writerPatience,
                id,
                files);
    }

    public BlkServerConfig withFiles(StoreFiles other) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                nbdLimits,
                journalLimitBytes,
                segmentBytes,
                applyInterval,
                writerPatience,
                bootId,
                other);
    }

    public BlkServerConfig withNbdLimits(NbdLimits limits) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                limits,
                journalLimitBytes,
                segmentBytes,
                applyInterval,
                writerPatience,
                bootId,
                files);
    }

    public BlkServerConfig withWriterPatience(Duration patience) {
        return new BlkServerConfig(
                data,
                listen,
                control,
                volumes,
                nbdLimits,
                journalLimitBytes,
                segmentBytes,
                applyInterval,
                patience,
                bootId,
                files);
    }
}
