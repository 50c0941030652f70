package io.vmft.engine.qemu;

import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.DirectBoot;
import io.vmft.engine.config.Disk;
import io.vmft.engine.config.Display;
import io.vmft.engine.config.Endpoint;
import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.Nic;
import io.vmft.engine.config.Protection;
import io.vmft.engine.config.Virtio;
import io.vmft.engine.config.VmConfig;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** VMs for tests. */
final class Vms {
    /** Another QEMU than the installed one can be tried: {@code -Dvmft.qemu=PATH}. */
    static final String QEMU = System.getProperty("vmft.qemu", "qemu-system-x86_64");

    private Vms() {}

    static VmConfig config(
            Endpoint blkServer, List<Disk> disks, List<Nic> nics, Optional<DirectBoot> boot, List<String> qemuArgs) {
        return new VmConfig(
                "vm1",
                64L << 20,
                2,
                Accelerator.TCG,
                Optional.empty(),
                "pc",
                Virtio.TRANSITIONAL,
                blkServer,
                new HostPort("127.0.0.1", 1),
                disks,
                nics,
                boot,
                Display.NONE,
                Optional.empty(),
                QEMU,
                qemuArgs,
                Optional.empty(),
                Protection.DEFAULT);
    }

    /** The same with older disks and network cards. */
    static VmConfig legacy(VmConfig config) {
        return new VmConfig(
                config.name(),
                config.memoryBytes(),
                config.cpus(),
                config.accelerator(),
                config.cpuModel(),
                config.machine(),
                Virtio.LEGACY,
                config.blkServer(),
                config.control(),
                config.disks(),
                config.nics(),
                config.boot(),
                config.display(),
                config.uefi(),
                config.qemu(),
                config.qemuArgs(),
                config.serial(),
                config.protection());
    }

    static VmConfig bare(List<String> qemuArgs) {
        return config(new HostPort("127.0.0.1", 1), List.of(), List.of(), Optional.empty(), qemuArgs);
    }

    static QemuInfo info(String machine, Accelerator accelerator, String cpuModel) {
        return new QemuInfo(Path.of("/usr/bin/qemu"), "7.2", machine, accelerator, "a test", cpuModel, "sha256 00", "");
    }
}
