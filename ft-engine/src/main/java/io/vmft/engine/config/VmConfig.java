package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.config.ConfigException;
import io.vmft.config.Quantity;
import io.vmft.engine.config.Endpoint.HostPort;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * One VM, as its file describes it. Immutable; checked when made, so that every instance can be run as far as one can tell
 * without looking at the host.
 *
 * @param name of the VM: on the block server, in logs, in paths
 * @param memoryBytes guest RAM, whole MiB
 * @param cpuModel QEMU's {@code -cpu}; absent: {@code host} under KVM, QEMU's default under TCG
 * @param machine QEMU's {@code -machine} type: {@code pc}, {@code q35} or a versioned name of theirs
 * @param virtio which interface its disks and network cards have
 * @param blkServer where the block server speaks NBD
 * @param control where the block server speaks gRPC
 * @param qemu the QEMU binary, a path or a name on PATH
 * @param qemuArgs passed to QEMU after everything else
 * @param uefi absent: the PC's BIOS
 * @param serial file to which the first serial port is appended; absent: output is discarded
 */
public record VmConfig(
        String name,
        long memoryBytes,
        int cpus,
        Accelerator accelerator,
        Optional<String> cpuModel,
        String machine,
        Virtio virtio,
        Endpoint blkServer,
        HostPort control,
        List<Disk> disks,
        List<Nic> nics,
        Optional<DirectBoot> boot,
        Display display,
        Optional<Uefi> uefi,
        String qemu,
        List<String> qemuArgs,
        Optional<Path> serial,
        Protection protection) {

    /** Disks have fixed PCI slots; there are this many. */
    public static final int MAX_DISKS = 12;

    /** Network cards have fixed PCI slots; there are this many. */
    public static final int MAX_NICS = 8;

    private static final long MIB = 1L << 20;

    /** QEMU options that have a key here, or that would take the VM out of the engine's hands. */
    private static final Map<String, String> REFUSED_ARGS = Map.ofEntries(
            Map.entry("-m", "use the key memory"),
            Map.entry("-smp", "use the key cpus"),
            Map.entry("-machine", "use the key machine"),
            Map.entry("-M", "use the key machine"),
            Map.entry("-cpu", "use the key cpu_model"),
            Map.entry("-accel", "use the key accelerator"),
            Map.entry("-enable-kvm", "use the key accelerator"),
            Map.entry("-name", "use the key name"),
            Map.entry("-kernel", "use the key kernel"),
            Map.entry("-initrd", "use the key initrd"),
            Map.entry("-append", "use the key append"),
            Map.entry("-pflash", "use the key firmware"),
            Map.entry("-incoming", "the engine restores the VM itself"),
            Map.entry("-loadvm", "the engine restores the VM itself"),
            Map.entry("-snapshot", "writes must reach the block server"),
            Map.entry("-daemonize", "QEMU must not outlive its engine"));

    public VmConfig {
        disks = List.copyOf(disks);
        nics = List.copyOf(nics);
        qemuArgs = List.copyOf(qemuArgs);
        require(Names.isName(name), "name", "\"" + name + "\" is not a name; use letters, digits, '.', '_' and '-'");
        require(
                memoryBytes >= MIB && memoryBytes <= 16L << 40 && memoryBytes % MIB == 0,
                "memory",
                Quantity.sizeInWords(memoryBytes) + " is not a whole number of MiB between 1M and 16T");
        require(cpus >= 1 && cpus <= 255, "cpus", cpus + " is not between 1 and 255");
        require(
                machine.matches("pc|q35|pc-(i440fx|q35)-[0-9][0-9a-z.+-]*"),
                "machine",
                "\"" + machine + "\" is not supported; use pc, q35 or a versioned name like pc-i440fx-7.2");
        require(
                !(blkServer instanceof HostPort(var host, var port)) || port != 0,
                "blk_server",
                blkServer + " has port 0; name the port the block server listens on");
        require(control.port() != 0, "control", control + " has port 0; name the block server's control port");
        require(disks.size() <= MAX_DISKS, "disks", "more than " + MAX_DISKS);
        require(nics.size() <= MAX_NICS, "nics", "more than " + MAX_NICS);
        Set<String> seen = new HashSet<>();
        for (Disk disk : disks) {
            require(seen.add("volume " + disk.volume()), "disks", "volume " + disk.volume() + " is named twice");
        }
        for (Nic nic : nics) {
            require(seen.add("mac " + nic.mac()), "nics", "mac " + nic.mac() + " is used twice");
            require(seen.add("tap " + nic.tap()), "nics", "tap " + nic.tap() + " is used twice");
        }
        require(!qemu.isBlank(), "qemu", "is empty; name the QEMU binary, like qemu-system-x86_64");
        for (String argument : qemuArgs) {
            String option = argument.startsWith("--") ? argument.substring(1) : argument;
            String reason = REFUSED_ARGS.get(option);
            require(reason == null, "qemu_args", argument + " cannot be given here: " + reason);
        }
    }

    /** This VM with another {@code protection.verify_epochs}. */
    public VmConfig verifyingEvery(int epochs) {
        Copying now = protection.copying();
        return new VmConfig(
                name,
                memoryBytes,
                cpus,
                accelerator,
                cpuModel,
                machine,
                virtio,
                blkServer,
                control,
                disks,
                nics,
                boot,
                display,
                uefi,
                qemu,
                qemuArgs,
                serial,
                protection.with(new Copying(now.syncRateBytes(), epochs, now.compression(), now.cacheBytes())));
    }

    /** Reads and checks {@code file}. */
    public static VmConfig load(Path file) throws ConfigException {
        return load(file, Map.of());
    }

    /**
     * Reads and checks {@code file}; {@code overrides} (key → value as text, top-level keys only) win over what it says.
     *
     * @throws ConfigException if it cannot be read, is not YAML, has an unknown key, lacks one, or has a value that is wrong
     */
    public static VmConfig load(Path file, Map<String, String> overrides) throws ConfigException {
        return VmConfigReader.read(file, overrides);
    }

    /**
     * What both hosts' files must agree on; reads the kernel and initrd to tell whether they are the same.
     *
     * @throws ConfigException if one of those cannot be read
     */
    public Fingerprint fingerprint() throws ConfigException {
        return Fingerprint.of(this);
    }
}
