package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.config.Quantity;
import io.vmft.engine.config.Endpoint.HostPort;
import java.time.Duration;
import java.util.List;

/**
 * How the VM is protected.
 *
 * @param epoch how long the guest runs between two checkpoints; 1 ms to 10 s
 * @param maxInFlight epochs sent but not committed at most; 1 to 16
 * @param heartbeat how often each side says it is alive
 * @param failureTimeout silence after which the other side counts as dead; at least two heartbeats
 * @param qemuTimeout how long QEMU may take for a command while nothing else keeps it waiting before a protected VM is left to its backup
 * @param standbys where standbys listen, in order of preference; may be empty
 * @param auto protect on the first standby that answers, and again after a takeover, without being asked
 * @param listen where this host listens as a standby; port 0 takes a free one
 * @param stagingBytes bound of copied pages that were not sent yet (primary), and of one epoch's pages in memory
 * @param heldFramesBytes bound, for each network card, of guest output held until its epoch is committed
 * @param cpuAffinity processors for the engine's threads that the guest or its disks wait for
 * @param nice of those threads and QEMU's main thread, as in {@code nice(1)}; -20 to 19, 0: as they are
 * @param copying how memory gets to the backup
 */
public record Protection(
        Duration epoch,
        int maxInFlight,
        Duration heartbeat,
        Duration failureTimeout,
        Duration qemuTimeout,
        List<HostPort> standbys,
        boolean auto,
        HostPort listen,
        long stagingBytes,
        long heldFramesBytes,
        CpuList cpuAffinity,
        int nice,
        Copying copying) {

    /** What a file without a {@code protection} section means. */
    public static final Protection DEFAULT = new Protection(
            Duration.ofMillis(25),
            2,
            Duration.ofMillis(100),
            Duration.ofSeconds(1),
            Duration.ofSeconds(10),
            List.of(),
            true,
            new HostPort("0.0.0.0", 4441),
            64L << 20,
            16L << 20,
            CpuList.ANY,
            0,
            Copying.DEFAULT);

    private static final int MAX_STANDBYS = 16;

    public Protection {
        standbys = List.copyOf(standbys);
        require(
                isBetween(epoch, Duration.ofMillis(1), Duration.ofSeconds(10)),
                "epoch",
                inWords(epoch) + " is not between 1ms and 10s");
        require(maxInFlight >= 1 && maxInFlight <= 16, "max_in_flight", maxInFlight + " is not between 1 and 16");
        require(
                isBetween(heartbeat, Duration.ofMillis(1), Duration.ofMinutes(1)),
                "heartbeat",
                inWords(heartbeat) + " is not between 1ms and 1m");
        require(
                isBetween(failureTimeout, heartbeat.multipliedBy(2), Duration.ofMinutes(10)),
                "failure_timeout",
                inWords(failureTimeout) + " is not between two heartbeats (" + inWords(heartbeat.multipliedBy(2))
                        + ") and 10m");
        require(
                isBetween(qemuTimeout, Duration.ofSeconds(5), Duration.ofHours(1)),
                "qemu_timeout",
                inWords(qemuTimeout) + " is not between 5s and 1h");
        require(standbys.size() <= MAX_STANDBYS, "standbys", "more than " + MAX_STANDBYS);
        for (HostPort standby : standbys) {
            require(standby.port() != 0, "standbys", standby + " has port 0; name the port the standby listens on");
        }
        require(
                stagingBytes >= 4L << 20 && stagingBytes <= 64L << 30,
                "staging",
                Quantity.sizeInWords(stagingBytes) + " is not between 4M and 64G");
        require(
                heldFramesBytes >= 256L << 10 && heldFramesBytes <= 1L << 30,
                "held_frames",
                Quantity.sizeInWords(heldFramesBytes) + " is not between 256K and 1G");
        require(nice >= -20 && nice <= 19, "nice", nice + " is not between -20 and 19");
    }

    Protection with(Copying other) {
        return new Protection(
                epoch,
                maxInFlight,
                heartbeat,
                failureTimeout,
                qemuTimeout,
                standbys,
                auto,
                listen,
                stagingBytes,
                heldFramesBytes,
                cpuAffinity,
                nice,
                other);
    }

    private static boolean isBetween(Duration value, Duration least, Duration most) {
        return value.compareTo(least) >= 0 && value.compareTo(most) <= 0;
    }

    private static String inWords(Duration duration) {
        return duration.toNanos() % 1_000_000 == 0 ? duration.toMillis() + "ms" : duration.toNanos() / 1_000 + "us";
    }
}
