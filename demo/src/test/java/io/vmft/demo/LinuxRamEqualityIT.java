package io.vmft.demo;

import static io.vmft.demo.BusyVm.PATIENCE;
import static io.vmft.demo.BusyVm.ask;
import static io.vmft.demo.BusyVm.committed;
import static io.vmft.demo.BusyVm.look;
import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * A Linux guest that writes memory, disk and network at the same time is paused at committed checkpoints, and the whole guest RAM of
 * both hosts is compared byte for byte; in between, the hosts compare all memory themselves. Its pages are sent compressed, as changes of
 * what was sent before.
 */
@Timeout(300)
class LinuxRamEqualityIT {
    private static final int COMPARISONS = 10;
    private static final int EPOCHS_BETWEEN = 50;

    @Test
    void afterHundredsOfEpochsOfABusyGuestBothHostsHoldTheSameMemory() throws Exception {
        BusyVm.assumeItCanRun();
        try (BusyVm vm = new BusyVm(
                "vmft.load=16", List.of("compression: always", "verify_epochs: 40"), Path.of("target/equality-it"))) {
            Host primary = vm.primary;
            Host standby = vm.standby;
            for (int i = 0; i < COMPARISONS; i++) {
                long target = look(primary).epochs() + EPOCHS_BETWEEN;
                int answers = vm.client.history().size();
                await().atMost(PATIENCE).until(() -> look(primary).epochs() >= target);
                assertThat(vm.client.history().size())
                        .as("the guest was at work")
                        .isGreaterThan(answers);
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
            vm.client.check();
            JsonNode sent = new ObjectMapper().readTree(ask(primary, "status")).path("copying");
            double share = sent.path("sent_bytes").asDouble()
                    / sent.path("dirty_bytes").asDouble();
            System.out.println("bytes on the wire / bytes dirty: " + share);
            assertThat(share).isBetween(0.0001, 0.9);
            assertThat(new ObjectMapper()
                            .readTree(ask(standby, "status"))
                            .path("verified_epochs")
                            .asLong())
                    .isGreaterThanOrEqualTo(COMPARISONS * EPOCHS_BETWEEN / 40 - 1);
        }
    }

    private static Path ram(Host host) {
        return Path.of(
                "/dev/shm", "vmft" + host.runDir().resolve(Demo.VM).toString().replace('/', '-'), "ram");
    }
}
