package io.vmft.engine.cluster;

import static io.vmft.engine.cluster.TestCluster.ask;
import static io.vmft.engine.cluster.TestCluster.await;
import static io.vmft.engine.cluster.TestCluster.awaitEpochs;
import static io.vmft.engine.cluster.TestCluster.awaitProtected;
import static io.vmft.engine.cluster.TestCluster.killQemu;
import static io.vmft.engine.cluster.TestCluster.status;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.engine.Engine;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a VM has beside guest RAM goes along: its screen, and its firmware with what that keeps. */
@Timeout(240)
class ScreenIT {
    /** Two colours would be the firmware's text; the guest's drawing has many. */
    private static final int MANY_COLOURS = 1000;

    @TempDir
    Path directory;

    @ParameterizedTest
    @CsvSource({"tcg,pc", "tcg,q35", "kvm,pc", "kvm,q35"})
    void theScreenSurvivesATakeover(String accelerator, String machine) throws Exception {
        TestCluster.assumeItCanRun(accelerator);
        String address = TestCluster.ownAddress();
        Path qmp = directory.resolve("qmp");
        Path serial = directory.resolve("serial");
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file(
                    "vm1", accelerator, """
                    append: "pages=100 pace=200 draw=300000"
                    machine: %s
                    vga: std
                    serial: %s
                    %s
                    %s
                    """.formatted(machine, serial, Monitor.argument(qmp), protection(address)));
            Engine primary = cluster.run(file, "a");
            try (Monitor before = new Monitor(qmp)) {
                Engine standby = cluster.standby(file, "b");
                awaitProtected(primary);
                await().atMost(Duration.ofMinutes(2))
                        .until(() -> Files.readString(serial).contains("vmft-guest drawn"));
                awaitEpochs(primary, 5);
                ask(primary, "pause");
                long epoch = status(primary).path("committed_epoch").asLong();
                await().until(() -> status(standby).path("committed_epoch").asLong() == epoch);
                assertThat(firstDifference(cluster)).isEqualTo(-1);
                byte[] screen = before.screen(directory.resolve("before.ppm"));
                assertThat(colours(screen)).isGreaterThan(MANY_COLOURS);

                takeOver(primary, standby);
                try (Monitor after = new Monitor(qmp)) {
                    assertThat(after.screen(directory.resolve("after.ppm"))).isEqualTo(screen);
                }
            }
        }
    }

    @Test
    void uefiAndItsVariablesSurviveATakeover() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        assumeTrue(Files.isReadable(Path.of("/usr/share/OVMF/OVMF_CODE_4M.fd")), "ovmf is not installed");
        String address = TestCluster.ownAddress();
        Path qmp = directory.resolve("qmp");
        Path serial = directory.resolve("serial");
        try (TestCluster cluster = new TestCluster(directory)) {
            String common = """
                    memory: 128M
                    machine: q35
                    vga: std
                    firmware: uefi
                    serial: %s
                    %s
                    %s
                    firmware_vars: %s.vars
                    """;
            Path a = cluster.bareFile(
                    "vm1", "a", common.formatted(serial, Monitor.argument(qmp), protection(address), "a"));
            Path b = cluster.bareFile(
                    "vm1", "b", common.formatted(serial, Monitor.argument(qmp), protection(address), "b"));
            Engine primary = cluster.run(a, "a");
            try (Monitor before = new Monitor(qmp)) {
                Engine standby = cluster.standby(b, "b");
                awaitProtected(primary);
                awaitShell(serial, 1);
                awaitEpochs(primary, 5);
                ask(primary, "pause");
                byte[] screen = before.screen(directory.resolve("before.ppm"));
                takeOver(primary, standby);
                // What the firmware kept is in the file that QEMU here would boot from.
                await().until(() -> Files.mismatch(directory.resolve("a.vars"), directory.resolve("b.vars")) == -1);
                assertThat(Files.mismatch(directory.resolve("b.vars"), Path.of("/usr/share/OVMF/OVMF_VARS_4M.fd")))
                        .isNotNegative();
                try (Monitor after = new Monitor(qmp)) {
                    assertThat(after.screen(directory.resolve("after.ppm"))).isEqualTo(screen);
                    after.execute("{\"execute\":\"system_reset\"}");
                    awaitShell(serial, 2);
                }
            }
        }
    }

    /** The firmware's shell has come up so many times. */
    private static void awaitShell(Path serial, int times) {
        await().atMost(Duration.ofMinutes(3))
                .until(() -> Files.readString(serial, java.nio.charset.StandardCharsets.ISO_8859_1)
                                .split("Shell> ", -1)
                                .length
                        > times);
    }

    private static void takeOver(Engine primary, Engine standby) {
        killQemu(primary);
        await().until(() -> status(standby).path("role").asText().equals("primary"));
    }

    /** In what is used of the files. */
    private static long firstDifference(TestCluster cluster) throws Exception {
        try (FileChannel a = FileChannel.open(cluster.blocks("a", "vm1"));
                FileChannel b = FileChannel.open(cluster.blocks("b", "vm1"))) {
            return a.map(MapMode.READ_ONLY, 0, 32 << 20).mismatch(b.map(MapMode.READ_ONLY, 0, 32 << 20));
        }
    }

    private static long colours(byte[] pixmap) {
        return java.util.stream.IntStream.range(0, (pixmap.length - 20) / 3)
                .map(pixel -> (pixmap[20 + 3 * pixel] & 0xff) << 16
                        | (pixmap[21 + 3 * pixel] & 0xff) << 8
                        | (pixmap[22 + 3 * pixel] & 0xff))
                .distinct()
                .count();
    }

    private static String protection(String address) {
        return "protection: {epoch: 10ms, failure_timeout: 10s, standbys: [\"%s\"], listen: \"%s\"}"
                .formatted(address, address);
    }
}
