package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.engine.EngineException;
import io.vmft.engine.monitor.MonitorClient;
import io.vmft.engine.vm.VmPaths;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * A Linux guest that writes memory, disk and network at the same time is paused at committed checkpoints, and the whole guest RAM of
 * both hosts is compared byte for byte.
 */
@Timeout(300)
class LinuxRamEqualityIT {
    private static final Path GUEST = Path.of("target/guest").toAbsolutePath();
    private static final Path TARGET = Path.of("target/equality-it").toAbsolutePath();
    private static final Duration PATIENCE = Duration.ofMinutes(2);
    private static final int COMPARISONS = 10;
    private static final int EPOCHS_BETWEEN = 50;

    @Test
    void afterHundredsOfEpochsOfABusyGuestBothHostsHoldTheSameMemory() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "network namespaces need root");
        assumeTrue(Files.isWritable(Path.of("/dev/net/tun")), "/dev/net/tun cannot be opened");
        assumeTrue(Command.attempt("sh", "-c", "command -v qemu-system-x86_64").status() == 0, "there is no QEMU");
        Command.run("src/main/guest/build-guest.sh", GUEST.toString());
        Workplace place = Workplace.create();
        try {
            compareAgainAndAgain(place);
        } finally {
            place.saveLogs(TARGET.resolve("logs"));
            place.remove();
        }
    }

    private static void compareAgainAndAgain(Workplace place) throws Exception {
        Path folder = place.folder();
        Lab lab = new Lab(place.id());
        place.add(lab::build);
        Path image = folder.resolve("disk.img");
        Command.run("cp", "--sparse=always", GUEST.resolve("disk.img").toString(), image.toString());
        Daemon storage = Storage.start(lab, place, image);
        Host primary = new Host("a", lab, place);
        Host standby = new Host("b", lab, place);
        Path vmFile = VmFile.write(folder, new DemoOptions(0, 1, "qemu-system-x86_64", "tcg", false, GUEST, TARGET));
        Files.writeString(vmFile, Files.readString(vmFile).replace(" vmft.ip=", " vmft.load=16 vmft.ip="));
        storage.awaitReady(PATIENCE);
        primary.start("run", vmFile);
        standby.start("standby", vmFile);
        primary.awaitReady();
        LedgerClient client = LedgerClient.start(lab.namespace("c"), Lab.GUEST_ADDRESS, PATIENCE);
        client.awaitConnected();
        await().atMost(PATIENCE).until(() -> look(primary).isProtected());
        for (int i = 0; i < COMPARISONS; i++) {
            long target = look(primary).epochs() + EPOCHS_BETWEEN;
            int answers = client.history().size();
            await().atMost(PATIENCE).until(() -> look(primary).epochs() >= target);
            assertThat(client.history().size()).as("the guest was at work").isGreaterThan(answers);
            assertThat(look(primary).dirtyPages())
                    .as("dirty pages of the last checkpoint")
                    .isPositive();
            ask(primary, "pause");
            await().until(() -> committed(standby) == committed(primary));
            assertThat(Files.mismatch(ram(primary), ram(standby)))
                    .as("first byte that differs, at epoch %d", committed(primary))
                    .isEqualTo(-1);
            ask(primary, "resume");
        }
        assertThat(look(primary).epochs()).isGreaterThanOrEqualTo(COMPARISONS * EPOCHS_BETWEEN);
        client.check();
    }

    private static Path ram(Host host) {
        return Path.of(
                "/dev/shm", "vmft" + host.runDir().resolve(Demo.VM).toString().replace('/', '-'), "ram");
    }

    private static Sight look(Host host) throws DemoException {
        return host.look().orElseThrow();
    }

    private static long committed(Host host) throws EngineException {
        String status = ask(host, "status");
        return Long.parseLong(status.replaceAll(".*\"committed_epoch\":(\\d+).*", "$1"));
    }

    private static String ask(Host host, String line) throws EngineException {
        return MonitorClient.ask(VmPaths.monitorSocket(host.runDir(), Demo.VM), Demo.VM, line);
    }
}
