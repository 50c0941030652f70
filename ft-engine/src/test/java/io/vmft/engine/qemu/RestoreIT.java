package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import io.vmft.engine.config.Disk;
import io.vmft.engine.config.Endpoint;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Nic;
import io.vmft.engine.config.VmConfig;
import io.vmft.engine.qmp.QmpClient;
import io.vmft.engine.qmp.QmpEvent;
import io.vmft.engine.qmp.QmpException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Real QEMU, under TCG: what is saved in one goes on in another. */
@Timeout(120)
final class RestoreIT {
    private static final Nic NIC = new Nic("52:54:00:12:34:56", "unused", Optional.empty());

    @TempDir
    Path directory;

    private VmConfig config;
    private QemuInfo info;

    @BeforeEach
    void settle() throws Exception {
        QemuVm.assumeQemu();
        config = Vms.config(
                new HostPort("127.0.0.1", 1),
                List.of(),
                List.of(NIC),
                Optional.empty(),
                List.of("-bios", QemuVm.countingFirmware(directory).toString()));
        info = QemuProbe.probe(config);
    }

    @Test
    void aGuestGoesOnInAnotherQemu() throws Exception {
        try (QemuVm first = QemuVm.start(config, info, directory.resolve("a"), false);
                QemuVm second = QemuVm.start(config, info, directory.resolve("b"), true)) {
            assertThat(second.status()).isEqualTo("inmigrate");
            await().until(() -> QemuVm.counter(first.runtime.ramFile(), QemuVm.COUNTER) > 1_000_000);
            IncomingVm incoming = IncomingVm.prepare(
                    "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
            assertThat(incoming.machineType()).isEqualTo(info.machine());
            assertThat(second.status()).isEqualTo("inmigrate");

            ByteBuffer state = first.saveState();
            long saved = QemuVm.counter(first.runtime.ramFile(), QemuVm.COUNTER);
            assertThat(QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER)).isZero();
            first.copyMemoryTo(second);
            second.gates.getFirst().openNow();
            incoming.restore(state, QemuVm.TIMEOUT);

            assertThat(second.status()).isEqualTo("running");
            await().until(() -> QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER) > saved + 1_000_000);
            second.qmp.call("system_reset", null, QemuVm.TIMEOUT);
            long reset = QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER);
            await("the guest to start anew from its firmware")
                    .until(() -> QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER) != reset);
            await("QEMU to announce the guest's address")
                    .until(() -> second.ports.getFirst().sent().stream()
                            .anyMatch(frame -> HexFormat.of().formatHex(frame).startsWith("ffffffffffff525400123456")));
        }
    }

    @Test
    void aRestoredGuestCanBeSavedAndRestoredAgain() throws Exception {
        ByteBuffer state;
        Path ram = directory.resolve("ram");
        Path blocks = directory.resolve("blocks");
        long counter;
        try (QemuVm first = QemuVm.start(config, info, directory.resolve("0"), false)) {
            await().until(() -> QemuVm.counter(first.runtime.ramFile(), QemuVm.COUNTER) > 1_000);
            state = first.saveState();
            counter = QemuVm.counter(first.runtime.ramFile(), QemuVm.COUNTER);
            Files.copy(first.runtime.ramFile(), ram);
            Files.copy(first.blocksFile(), blocks);
        }
        for (int generation = 1; generation <= 3; generation++) {
            try (QemuVm next = QemuVm.start(config, info, directory.resolve("" + generation), true)) {
                IncomingVm incoming = IncomingVm.prepare(
                        "vm1", next.qmp, next.process, next.runtime.incomingSocket(), QemuVm.TIMEOUT);
                QemuVm.copyInto(ram, next.runtime.ramFile());
                QemuVm.copyInto(blocks, next.blocksFile());
                incoming.restore(state, QemuVm.TIMEOUT);
                long before = counter;
                await().until(() -> QemuVm.counter(next.runtime.ramFile(), QemuVm.COUNTER) > before + 1_000);
                state = next.saveState();
                counter = QemuVm.counter(next.runtime.ramFile(), QemuVm.COUNTER);
                Files.copy(next.runtime.ramFile(), ram, StandardCopyOption.REPLACE_EXISTING);
                Files.copy(next.blocksFile(), blocks, StandardCopyOption.REPLACE_EXISTING);
            }
        }
    }

    @Test
    void theStateOfAVmWithADiskIsTaken() throws Exception {
        Path nbdkit = Path.of("/usr/bin/nbdkit");
        Path sbin = Path.of("/usr/sbin/nbdkit");
        assumeTrue(Files.isExecutable(nbdkit) || Files.isExecutable(sbin), "nbdkit is not installed");
        Path socket = directory.resolve("nbd.sock");
        Process server = new ProcessBuilder(
                        (Files.isExecutable(nbdkit) ? nbdkit : sbin).toString(),
                        "-f",
                        "-U",
                        socket.toString(),
                        "memory",
                        "64M")
                .inheritIO()
                .start();
        try {
            await().until(() -> Files.exists(socket));
            VmConfig withDisk = Vms.config(
                    Endpoint.parse("unix:" + socket),
                    List.of(new Disk("data")),
                    List.of(NIC),
                    Optional.empty(),
                    config.qemuArgs());
            try (QemuVm first = QemuVm.start(withDisk, info, directory.resolve("a"), false);
                    QemuVm second = QemuVm.start(withDisk, info, directory.resolve("b"), true)) {
                IncomingVm incoming = IncomingVm.prepare(
                        "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
                ByteBuffer state = first.saveState();
                first.copyMemoryTo(second);
                first.process.killAndWait();
                incoming.restore(state, QemuVm.TIMEOUT);
                JsonNode blocks = second.qmp.call("query-block", null, QemuVm.TIMEOUT);
                assertThat(blocks.path(0).path("inserted").path("node-name").asText())
                        .isEqualTo("disk0");
                String slots = second.qmp.humanMonitor("info pci").get(30, TimeUnit.SECONDS);
                assertThat(slots).contains("device   4", "device  16");
            }
        } finally {
            server.destroyForcibly().waitFor();
        }
    }

    @Test
    void q35GoesOnToo() throws Exception {
        QemuInfo runnable = new QemuInfo(
                info.binary(),
                info.version(),
                info.machine().replace("i440fx", "q35"),
                info.accelerator(),
                "a test",
                "",
                info.firmware(),
                "");
        try (QemuVm first = QemuVm.start(config, runnable, directory.resolve("a"), false);
                QemuVm second = QemuVm.start(config, runnable, directory.resolve("b"), true)) {
            IncomingVm incoming = IncomingVm.prepare(
                    "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
            assertThat(incoming.machineType()).contains("q35");
            ByteBuffer state = first.saveState();
            first.copyMemoryTo(second);
            long saved = QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER);
            incoming.restore(state, QemuVm.TIMEOUT);
            await().until(() -> QemuVm.counter(second.runtime.ramFile(), QemuVm.COUNTER) != saved);
        }
    }

    @Test
    void aStateThatQemuRefusesEndsQemuWithItsOwnWords() throws Exception {
        try (QemuVm second = QemuVm.start(config, info, directory.resolve("b"), true)) {
            IncomingVm incoming = IncomingVm.prepare(
                    "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
            ByteBuffer rubbish = ByteBuffer.wrap(HexFormat.of().parseHex("5145564d00000003" + "7f01020300"));
            assertThatThrownBy(() -> incoming.restore(rubbish, QemuVm.TIMEOUT))
                    .isInstanceOf(QemuException.class)
                    .hasMessageContaining("vm1: QEMU ended with status 1: ")
                    .hasMessageContaining("Unknown savevm section type 127");
            assertThat(second.process.isAlive()).isFalse();
        }
    }

    @Test
    void aStateOfOtherDevicesIsRefused() throws Exception {
        VmConfig other = Vms.bare(config.qemuArgs());
        try (QemuVm first = QemuVm.start(config, info, directory.resolve("a"), false);
                QemuVm second = QemuVm.start(other, info, directory.resolve("b"), true)) {
            IncomingVm incoming = IncomingVm.prepare(
                    "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
            ByteBuffer state = first.saveState();
            assertThatThrownBy(() -> incoming.restore(state, QemuVm.TIMEOUT))
                    .isInstanceOf(QemuException.class)
                    .hasMessageContaining("virtio-net");
        }
    }

    @Test
    void aRunningVmDoesNotWaitForAState() throws Exception {
        try (QemuVm first = QemuVm.start(config, info, directory.resolve("a"), false)) {
            assertThatThrownBy(() -> IncomingVm.prepare(
                            "vm1", first.qmp, first.process, first.runtime.incomingSocket(), QemuVm.TIMEOUT))
                    .isInstanceOf(QemuException.class)
                    .hasMessageContaining("does not wait for a saved state");
            assertThat(first.process.isAlive()).isTrue();
        }
    }

    @Test
    void aQemuThatDiesWhileWaitingIsReported() throws Exception {
        try (QemuVm second = QemuVm.start(config, info, directory.resolve("b"), true)) {
            second.process.killAndWait();
            assertThatThrownBy(() -> IncomingVm.prepare(
                            "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT))
                    .isInstanceOf(QemuException.class)
                    .hasMessageContaining("signal 9");
        }
    }

    @Test
    void aSuspendedQemuDoesNotHoldUpARestoreForever() throws Exception {
        try (QemuVm first = QemuVm.start(config, info, directory.resolve("a"), false);
                QemuVm second = QemuVm.start(config, info, directory.resolve("b"), true)) {
            IncomingVm incoming = IncomingVm.prepare(
                    "vm1", second.qmp, second.process, second.runtime.incomingSocket(), QemuVm.TIMEOUT);
            ByteBuffer state = first.saveState();
            new ProcessBuilder("kill", "-STOP", Long.toString(second.process.pid()))
                    .start()
                    .waitFor();
            assertThatThrownBy(() -> incoming.restore(state, Duration.ofMillis(300)))
                    .isInstanceOf(QemuException.class)
                    .hasMessageContaining("within 300 ms, it does not answer");
            assertThat(second.process.isAlive()).isFalse();
        }
    }

    @Test
    void qmpTellsStopAndResumeWithTimes() throws Exception {
        try (QemuVm vm = QemuVm.start(config, info, directory.resolve("a"), false)) {
            vm.qmp.call("stop", null, QemuVm.TIMEOUT);
            vm.qmp.call("cont", null, QemuVm.TIMEOUT);
            await().until(() ->
                    vm.events.stream().anyMatch(event -> event.name().equals("RESUME")));
            List<QmpEvent> stopAndResume = vm.events.stream()
                    .filter(event -> Set.of("STOP", "RESUME").contains(event.name()))
                    .toList();
            assertThat(stopAndResume).extracting(QmpEvent::name).containsExactly("STOP", "RESUME");
            long stopped = stopAndResume.getFirst().timestampMicros();
            long resumed = stopAndResume.getLast().timestampMicros();
            assertThat(resumed - stopped).isBetween(0L, 10_000_000L);
            assertThatThrownBy(() -> vm.qmp.call("no-such-command", null, QemuVm.TIMEOUT))
                    .isInstanceOfSatisfying(
                            QmpException.class,
                            refused -> assertThat(refused.errorClass()).isEqualTo("CommandNotFound"));
        }
    }

    @Test
    void aQemuThatDiesAtStartShowsItsWords() {
        VmConfig wrong = Vms.bare(List.of("-device", "no-such-device"));
        assertThatThrownBy(() -> QemuVm.start(wrong, info, directory.resolve("a"), false))
                .hasMessageContaining("QEMU ended with status 1")
                .hasMessageContaining("no-such-device");
    }

    @Test
    void qemuEndsCleanlyOnQuit() throws Exception {
        try (QemuVm vm = QemuVm.start(config, info, directory.resolve("a"), false)) {
            vm.qmp.execute("quit", QmpClient.arguments());
            assertThat(vm.process.exited().get(30, TimeUnit.SECONDS).status()).isZero();
            vm.qmp.closed().get(30, TimeUnit.SECONDS);
            vm.gates.getFirst().ended().get(30, TimeUnit.SECONDS);
        }
    }
}
