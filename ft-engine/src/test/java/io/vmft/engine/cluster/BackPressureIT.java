package io.vmft.engine.cluster;

import static io.vmft.engine.cluster.TestCluster.ask;
import static io.vmft.engine.cluster.TestCluster.await;
import static io.vmft.engine.cluster.TestCluster.awaitEpochs;
import static io.vmft.engine.cluster.TestCluster.awaitProtected;
import static io.vmft.engine.cluster.TestCluster.status;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import io.vmft.engine.Engine;
import io.vmft.engine.vm.GuestVm;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A backup or a block server that is slow slows the guest: nothing is given up, nothing grows, and the status says so. */
@Timeout(240)
class BackPressureIT {
    /** An epoch's pages are many times what staging holds and take longer than a pause may wait for the next slot. */
    private static final String GUEST = "append: pages=6000\n";

    private static final long SLOW_BYTES_PER_SECOND = 8 << 20;
    private static final long STAGING_BYTES = 4L << 20;
    private static final int SLOW_EPOCHS = 3;
    /** Three times what the disks wait for a seal. */
    private static final Duration AWAY = GuestVm.PAUSE_TIMEOUT.multipliedBy(3);

    private static final long WRITES_POSITION = 0x200000 + 32;

    @TempDir
    Path directory;

    @Test
    void aSlowBackupThrottlesTheGuestAndLosesNoEpoch() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy proxy = new SlowProxy(address)) {
            Path file = cluster.file("slow", "tcg", GUEST + protection("200ms", proxy.address(), address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 5);
            long voidBefore = status(primary).path("void_checkpoints").asLong();
            proxy.limit(SLOW_BYTES_PER_SECOND);
            awaitEpochs(primary, SLOW_EPOCHS);

            JsonNode slow = status(primary);
            assertThat(slow.path("mode").asText()).isEqualTo("protected");
            assertThat(slow.path("void_checkpoints").asLong())
                    .as("a backup that takes pages slowly is no reason to give a checkpoint up")
                    .isEqualTo(voidBefore);
            assertThat(slow.path("throttled_ms").asDouble()).isPositive();
            assertThat(slow.path("phases").path("room").path("ms_max").asDouble())
                    .as("the guest stood still for want of room")
                    .isPositive();
            assertThat(Files.size(cluster.staging("a", "slow")))
                    .as("what waits to be sent")
                    .isLessThan(2 * STAGING_BYTES);

            proxy.lift();
            awaitEpochs(primary, 5);
            ask(primary, "pause");
            long epoch = status(primary).path("committed_epoch").asLong();
            await().until(() -> status(standby).path("committed_epoch").asLong() == epoch);
            assertThat(Files.mismatch(cluster.ram("a", "slow"), cluster.ram("b", "slow")))
                    .isEqualTo(-1);
        }
    }

    @Test
    void aSlowBlockServerLengthensEpochs() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy proxy = new SlowProxy(cluster.control())) {
            Engine primary = protectedBehind(proxy, cluster, "late");
            proxy.delay(50);
            awaitEpochs(primary, 2 * SLOW_EPOCHS);
            JsonNode slow = status(primary);
            assertThat(slow.path("mode").asText()).isEqualTo("protected");
            assertThat(slow.path("phases").path("late").path("ms_max").asDouble())
                    .as("an epoch went on past its time, because as many as may be were on their way")
                    .isPositive();
            assertThat(slow.path("throttled_ms").asDouble()).isPositive();
            // Before the proxy goes: an engine ends only when the block server has heard of it.
            proxy.lift();
            primary.stop("the test ends").join();
        }
    }

    @Test
    void aGuestIsNotPausedForNothingWhileTheBlockServerIsAway() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy proxy = new SlowProxy(cluster.control())) {
            Engine primary = protectedBehind(proxy, cluster, "away");

            long voidBefore = status(primary).path("void_checkpoints").asLong();
            proxy.cut();
            long written = guestWrites(cluster.ram("a", "away"));
            await().during(AWAY)
                    .atMost(AWAY.multipliedBy(2))
                    .untilAsserted(() -> assertThat(
                                    status(primary).path("void_checkpoints").asLong())
                            .as("at most the pause that was under way")
                            .isLessThanOrEqualTo(voidBefore + 1));
            assertThat(guestWrites(cluster.ram("a", "away")))
                    .as("the guest goes on")
                    .isGreaterThan(written);

            proxy.lift();
            awaitEpochs(primary, 5);
            assertThat(status(primary).path("mode").asText()).isEqualTo("protected");
            primary.stop("the test ends").join();
        }
    }

    /** A primary with a backup, whose calls to the block server all go through {@code proxy}. */
    private static Engine protectedBehind(SlowProxy proxy, TestCluster cluster, String vm) throws Exception {
        String address = TestCluster.ownAddress();
        Path file = cluster.fileBehind(proxy, vm, "tcg", "append: pages=50\n" + protection("10ms", address, address));
        Engine primary = cluster.run(file, "a");
        cluster.standby(file, "b");
        awaitProtected(primary);
        awaitEpochs(primary, 5);
        return primary;
    }

    /** As {@code kvm_guest.S} counts them in its memory. */
    private static long guestWrites(Path ram) throws IOException {
        try (FileChannel memory = FileChannel.open(ram)) {
            ByteBuffer count = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            memory.read(count, WRITES_POSITION);
            return count.getLong(0);
        }
    }

    private static String protection(String epoch, String standby, String listen) {
        return ("protection: {epoch: %s, failure_timeout: 20s, staging: 4M, compression: never, standbys: [\"%s\"],"
                        + " listen: \"%s\"}")
                .formatted(epoch, standby, listen);
    }
}
