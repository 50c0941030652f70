package io.vmft.engine.cluster;

import static io.vmft.engine.cluster.TestCluster.ask;
import static io.vmft.engine.cluster.TestCluster.await;
import static io.vmft.engine.cluster.TestCluster.awaitEpochs;
import static io.vmft.engine.cluster.TestCluster.awaitProtected;
import static io.vmft.engine.cluster.TestCluster.status;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import io.vmft.engine.Engine;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The guest is paused at committed checkpoints, and both hosts' whole guest RAM is compared byte for byte. */
@Timeout(240)
class RamEqualityIT {
    private static final int COMPARISONS = 10;
    private static final int EPOCHS_BETWEEN = 50;
    private static final long SLOW_BYTES_PER_SECOND = 8 << 20;

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"kvm", "tcg"})
    void afterHundredsOfEpochsBothHostsHoldTheSameMemory(String accelerator) throws Exception {
        TestCluster.assumeItCanRun(accelerator);
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("eq", accelerator, protection(address, address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            for (int i = 0; i < COMPARISONS; i++) {
                awaitEpochs(primary, EPOCHS_BETWEEN);
                compare(cluster, primary, standby);
            }
            assertThat(status(primary).path("epochs").asLong()).isGreaterThanOrEqualTo(COMPARISONS * EPOCHS_BETWEEN);
        }
    }

    @Test
    void compressedPagesAddUpToTheSameMemory() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            String more = "append: \"pages=1000 pace=200\"\n"
                    + protection(address, address).replace("{", "{compression: always, delta_cache: 8M, ");
            Path file = cluster.file("eq", "tcg", more);
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            for (int i = 0; i < 3; i++) {
                awaitEpochs(primary, EPOCHS_BETWEEN);
                compare(cluster, primary, standby);
            }
            JsonNode copying = status(primary).path("copying");
            assertThat(copying.path("compressing").asBoolean()).isTrue();
            assertThat(copying.path("sent_bytes").asLong())
                    .isPositive()
                    .isLessThan(copying.path("dirty_bytes").asLong() / 2);
        }
    }

    @Test
    void pagesAreCompressedWhileTheLinkIsTooSlowForThem() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy slow = new SlowProxy(address)) {
            Path file = cluster.file("eq", "tcg", protection(slow.address(), address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            slow.limit(SLOW_BYTES_PER_SECOND);
            await().until(() ->
                    status(primary).path("copying").path("compressing").asBoolean());
            // The guest changes all of its pages while one epoch is on its way: two seconds each.
            awaitEpochs(primary, 8);
            compare(cluster, primary, standby);
        }
    }

    @Test
    void everyFifthEpochIsVerifiedAndWhatIsSpoiltOnTheWayEndsTheBackup() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                PageSpoilingProxy proxy = new PageSpoilingProxy(address)) {
            String more = protection(proxy.address(), address).replace("{", "{verify_epochs: 5, compression: never, ");
            Path file = cluster.file("verify", "tcg", more);
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            long generation = status(primary).path("generation").asLong();
            await().until(() -> status(standby).path("verified_epochs").asLong() >= 10);
            assertThat(status(primary).path("generation").asLong()).isEqualTo(generation);

            proxy.spoilPagesFromNowOn();
            await().until(() -> proxy.flippedBits() > 0
                    && status(primary).path("generation").asLong() > generation);
            proxy.spoilNoMore();
            // A new first sync, and it is a backup again.
            awaitProtected(primary);
            long verified = status(standby).path("verified_epochs").asLong();
            await().until(() -> status(standby).path("verified_epochs").asLong() > verified + 3);
            assertThat(status(standby).path("role").asText()).isEqualTo("standby");
        }
    }

    @Test
    void theFirstCopyIsPacedAndItsProgressIsShown() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            // The guest has touched some 20 MiB.
            Path file = cluster.file("pace", "tcg", protection(address, address).replace("{", "{sync_rate: 8M, "));
            Engine primary = cluster.run(file, "a");
            cluster.standby(file, "b");
            await().until(() -> status(primary).path("state").asText().matches("first sync: round 0, \\d+ % of .*"));
            awaitProtected(primary);
        }
    }

    /** The test of the test: what stands between the engines changes one page, as a broken checkpoint would. */
    @ParameterizedTest
    @ValueSource(strings = {"kvm", "tcg"})
    void aPageSpoiltOnTheWayIsFound(String accelerator) throws Exception {
        TestCluster.assumeItCanRun(accelerator);
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                PageSpoilingProxy proxy = new PageSpoilingProxy(address)) {
            // The proxy knows whole pages only.
            Path file = cluster.file(
                    "spoil", accelerator, protection(proxy.address(), address).replace("{", "{compression: never, "));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            pauseAndAwaitFold(primary, standby);
            proxy.spoilPagesFromNowOn();
            ask(primary, "resume");
            await().until(() -> proxy.flippedBits() > 0);
            pauseAndAwaitFold(primary, standby);
            assertThat(Files.mismatch(cluster.ram("a", "spoil"), cluster.ram("b", "spoil")))
                    .isNotNegative();
        }
    }

    private static void compare(TestCluster cluster, Engine primary, Engine standby) throws Exception {
        pauseAndAwaitFold(primary, standby);
        assertThat(Files.mismatch(cluster.ram("a", "eq"), cluster.ram("b", "eq")))
                .as("first byte that differs, at epoch %s", status(primary).path("committed_epoch"))
                .isEqualTo(-1);
        ask(primary, "resume");
    }

    private static void pauseAndAwaitFold(Engine primary, Engine standby) throws InterruptedException {
        ask(primary, "pause");
        long epoch = status(primary).path("committed_epoch").asLong();
        await().until(() -> status(standby).path("committed_epoch").asLong() == epoch);
    }

    private static String protection(String standby, String listen) {
        return "protection: {epoch: 5ms, failure_timeout: 10s, standbys: [\"%s\"], listen: \"%s\"}"
                .formatted(standby, listen);
    }
}
