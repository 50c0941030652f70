package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.DirectBoot;
import io.vmft.engine.config.Disk;
import io.vmft.engine.config.DiskErrors;
import io.vmft.engine.config.Display;
import io.vmft.engine.config.Endpoint;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Nic;
import io.vmft.engine.config.Uefi;
import io.vmft.engine.config.VmConfig;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

final class QemuCommandLineTest {
    private static final VmConfig FULL = Vms.config(
            new HostPort("10.0.0.9", 5000),
            List.of(new Disk("root"), new Disk("data", DiskErrors.REPORT)),
            List.of(new Nic("52:54:00:12:34:56", "tap0", Optional.empty())),
            Optional.empty(),
            List.of("-device", "virtio-rng-pci"));
    private static final QemuInfo PC = Vms.info("pc-i440fx-7.2", Accelerator.TCG, "");
    private static final QemuRuntime RUNTIME =
            new QemuRuntime(Path.of("/run/vmft/vm1"), Path.of("/dev/shm/vm1.ram"), 7, false);

    @Test
    void isWholeAndInOrder() {
        assertThat(QemuCommandLine.of(FULL, PC, RUNTIME))
                .containsExactly("""
                        /usr/bin/qemu
                        -name guest=vm1,debug-threads=on
                        -nodefaults
                        -no-user-config
                        -machine pc-i440fx-7.2,memory-backend=ram0,dump-guest-core=off
                        -accel tcg
                        -smp 2
                        -m 64M
                        -object {"qom-type":"memory-backend-file","id":"ram0","size":67108864,"mem-path":"/dev/shm/vm1.ram","share":true}
                        -display none
                        -vga none
                        -chardev socket,id=qmp0,server=off,path=/run/vmft/vm1/qmp.sock
                        -mon chardev=qmp0,mode=control
                        -chardev null,id=serial0
                        -serial chardev:serial0
                        -blockdev {"driver":"nbd","node-name":"nbd0","export":"root@7","reconnect-delay":86400,"discard":"unmap","server":{"type":"inet","host":"10.0.0.9","port":"5000"}}
                        -blockdev {"driver":"raw","node-name":"disk0","file":"nbd0","discard":"unmap"}
                        -device {"driver":"virtio-blk-pci","id":"blk0","bus":"pci.0","addr":"0x4","drive":"disk0","num-queues":1,"werror":"enospc","rerror":"report","bootindex":1}
                        -blockdev {"driver":"nbd","node-name":"nbd1","export":"data@7","reconnect-delay":86400,"discard":"unmap","server":{"type":"inet","host":"10.0.0.9","port":"5000"}}
                        -blockdev {"driver":"raw","node-name":"disk1","file":"nbd1","discard":"unmap"}
                        -device {"driver":"virtio-blk-pci","id":"blk1","bus":"pci.0","addr":"0x5","drive":"disk1","num-queues":1,"werror":"report","rerror":"report","bootindex":2}
                        -netdev {"type":"stream","id":"net0","server":false,"addr":{"type":"unix","path":"/run/vmft/vm1/nic0.sock"}}
                        -device {"driver":"virtio-net-pci","id":"nic0","bus":"pci.0","addr":"0x10","netdev":"net0","mac":"52:54:00:12:34:56","romfile":""}
                        -device virtio-rng-pci
                        """.strip().split("[ \n]"));
    }

    @Test
    void differsOnTheStandbyOnlyInPathsGenerationAndIncoming() {
        QemuRuntime standby = new QemuRuntime(Path.of("/run/vmft/vm1"), Path.of("/dev/shm/vm1.ram"), 8, true);
        List<String> primaryLine = new ArrayList<>(QemuCommandLine.of(FULL, PC, RUNTIME));
        List<String> standbyLine = new ArrayList<>(QemuCommandLine.of(FULL, PC, standby));
        standbyLine.replaceAll(argument -> argument.replace("@8", "@7"));
        assertThat(standbyLine).containsSubsequence("-incoming", "defer");
        assertThat(standbyLine.remove("-incoming")).isTrue();
        assertThat(standbyLine.remove("defer")).isTrue();
        assertThat(standbyLine).isEqualTo(primaryLine);
    }

    @Test
    void generationZeroMeansBareVolumes() {
        QemuRuntime bare = new QemuRuntime(Path.of("/r"), Path.of("/ram"), 0, false);
        assertThat(QemuCommandLine.of(FULL, PC, bare)).anyMatch(argument -> argument.contains("\"export\":\"root\""));
    }

    @Test
    void bootsAKernelInsteadOfADisk() {
        DirectBoot boot = new DirectBoot(Path.of("/boot/vmlinuz"), Optional.of(Path.of("/boot/initrd")), "quiet ro");
        VmConfig config =
                Vms.config(new HostPort("h", 1), List.of(new Disk("root")), List.of(), Optional.of(boot), List.of());
        List<String> line = QemuCommandLine.of(config, PC, RUNTIME);
        assertThat(line)
                .containsSubsequence("-kernel", "/boot/vmlinuz", "-initrd", "/boot/initrd", "-append", "quiet ro")
                .noneMatch(argument -> argument.contains("bootindex"));
    }

    @Test
    void kvmAndItsCpuModel() {
        assertThat(QemuCommandLine.of(FULL, Vms.info("pc-i440fx-7.2", Accelerator.KVM, "host"), RUNTIME))
                .containsSubsequence("-accel", "kvm", "-cpu", "host");
    }

    @Test
    void legacyDisksAndNetworkCards() {
        assertThat(QemuCommandLine.of(Vms.legacy(FULL), PC, RUNTIME))
                .filteredOn(argument -> argument.contains("\"driver\":\"virtio-"))
                .hasSize(3)
                .allMatch(argument -> argument.contains(",\"disable-modern\":true,"));
    }

    @Test
    void q35HasAnotherBus() {
        assertThat(QemuCommandLine.of(FULL, Vms.info("pc-q35-7.2", Accelerator.TCG, ""), RUNTIME))
                .anyMatch(argument -> argument.contains("\"bus\":\"pcie.0\",\"addr\":\"0x4\""))
                .noneMatch(argument -> argument.contains("pci.0\",\"addr\"") && !argument.contains("pcie"));
    }

    @Test
    void aDisplayThatIsAskedForReplacesNone() {
        VmConfig config = Vms.bare(List.of("-vga", "std", "-vnc", ":1"));
        assertThat(QemuCommandLine.of(config, PC, RUNTIME))
                .doesNotContain("none")
                .contains("-vnc", "std");
    }

    @Test
    void aScreenAndFlashFirmware() {
        VmConfig bare = Vms.bare(List.of());
        VmConfig config = new VmConfig(
                bare.name(),
                bare.memoryBytes(),
                bare.cpus(),
                bare.accelerator(),
                bare.cpuModel(),
                bare.machine(),
                bare.virtio(),
                bare.blkServer(),
                bare.control(),
                bare.disks(),
                bare.nics(),
                bare.boot(),
                new Display(true, Optional.of(new HostPort("::1", 5903))),
                Optional.of(new Uefi(Path.of("/fw/CODE.fd"), Path.of("/srv/vm1.vars"))),
                bare.qemu(),
                bare.qemuArgs(),
                bare.serial(),
                bare.protection());
        assertThat(QemuCommandLine.of(config, Vms.info("pc-q35-7.2", Accelerator.TCG, ""), RUNTIME))
                .containsSubsequence(
                        "-blockdev",
                        "{\"driver\":\"file\",\"node-name\":\"firmware-code-file\",\"filename\":\"/fw/CODE.fd\",\"read-only\":true}",
                        "-blockdev",
                        "{\"driver\":\"raw\",\"node-name\":\"firmware-vars\",\"file\":\"firmware-vars-file\",\"read-only\":false}",
                        "-machine",
                        "pc-q35-7.2,memory-backend=ram0,dump-guest-core=off,pflash0=firmware-code,pflash1=firmware-vars",
                        "-vnc",
                        "[::1]:3",
                        "-device",
                        "{\"driver\":\"VGA\",\"id\":\"vga0\",\"bus\":\"pcie.0\",\"addr\":\"0x2\"}");
    }

    @Test
    void commasInPathsAreEscaped() {
        QemuRuntime odd = new QemuRuntime(Path.of("/r,un"), Path.of("/dev/shm/a,b"), 1, false);
        assertThat(QemuCommandLine.of(Vms.bare(List.of()), PC, odd))
                .contains("socket,id=qmp0,server=off,path=/r,,un/qmp.sock")
                .anyMatch(argument -> argument.contains("\"mem-path\":\"/dev/shm/a,b\""));
    }

    @Test
    void unixSocketsOfTheBlockServer() {
        VmConfig config = Vms.config(
                Endpoint.parse("unix:/run/blk.sock"), List.of(new Disk("a")), List.of(), Optional.empty(), List.of());
        assertThat(QemuCommandLine.of(config, PC, RUNTIME))
                .anyMatch(argument -> argument.contains("\"server\":{\"type\":\"unix\",\"path\":\"/run/blk.sock\"}"));
    }

    @Test
    void refusesFoldersTooLongForSockets() {
        assertThatThrownBy(() -> new QemuRuntime(Path.of("/" + "x".repeat(94)), Path.of("/ram"), 1, false))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("use a shorter folder");
        assertThat(new QemuRuntime(Path.of("/" + "x".repeat(92)), Path.of("/ram"), 1, false).incomingSocket())
                .asString()
                .hasSize(107);
    }
}
