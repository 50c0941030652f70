package io.vmft.engine.config;

import io.vmft.config.ConfigException;
import io.vmft.config.Quantity;
import io.vmft.config.Section;
import io.vmft.engine.config.Endpoint.HostPort;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/** Turns a file into a {@link VmConfig}. */
final class VmConfigReader {
    private static final Set<String> KEYS = Set.of(
            "name",
            "memory",
            "cpus",
            "accelerator",
            "cpu_model",
            "machine",
            "virtio",
            "blk_server",
            "control",
            "disks",
            "nics",
            "kernel",
            "initrd",
            "append",
            "vga",
            "vnc",
            "firmware",
            "firmware_vars",
            "qemu",
            "qemu_args",
            "serial",
            "protection");
    private static final Set<String> DISK_KEYS = Set.of("volume", "errors");
    private static final Set<String> NIC_KEYS = Set.of("mac", "tap", "bridge");
    private static final Set<String> PROTECTION_KEYS = Set.of(
            "epoch",
            "max_in_flight",
            "heartbeat",
            "failure_timeout",
            "qemu_timeout",
            "standbys",
            "auto",
            "listen",
            "staging",
            "held_frames",
            "cpu_affinity",
            "nice",
            "sync_rate",
            "verify_epochs",
            "compression",
            "delta_cache");

    private VmConfigReader() {}

    static VmConfig read(Path file, Map<String, String> overrides) throws ConfigException {
        Section top = Section.read(file, overrides, KEYS);
        Function<String, Path> path = top::path;

        Endpoint blkServer = top.required("blk_server", Endpoint::parse);
        Optional<HostPort> givenControl = top.optional("control", HostPort::parse);
        HostPort control = givenControl.isPresent() ? givenControl.get() : defaultControl(top, blkServer);
        List<Disk> disks = new ArrayList<>();
        for (Section disk : top.sections("disks", DISK_KEYS)) {
            String volume = disk.required("volume", Function.identity());
            DiskErrors errors = disk.get("errors", DiskErrors.PAUSE_WHEN_FULL, DiskErrors::parse);
            disks.add(disk.build(() -> new Disk(volume, errors)));
        }
        List<Nic> nics = new ArrayList<>();
        for (Section nic : top.sections("nics", NIC_KEYS)) {
            String mac = nic.required("mac", Function.identity());
            String tap = nic.required("tap", Function.identity());
            Optional<String> bridge = nic.optional("bridge", Function.identity());
            nics.add(nic.build(() -> new Nic(mac, tap, bridge)));
        }
        String name = top.required("name", Function.identity());
        long memoryBytes = top.required("memory", Quantity::parseSize);
        int cpus = top.get("cpus", 1, Quantity::parseCount);
        Accelerator accelerator = top.get("accelerator", Accelerator.AUTO, Accelerator::parse);
        Optional<String> cpuModel = top.optional("cpu_model", Function.identity());
        String machine = top.get("machine", "pc", Function.identity());
        Virtio virtio = top.get("virtio", Virtio.TRANSITIONAL, Virtio::parse);
        Optional<DirectBoot> boot = boot(top, path);
        boolean vga = top.get("vga", false, Display::parseVga);
        Optional<HostPort> vnc = top.optional("vnc", HostPort::parse);
        Display display = top.build(() -> new Display(vga, vnc));
        Optional<Uefi> uefi = uefi(top, path);
        String qemu = top.get("qemu", "qemu-system-x86_64", Function.identity());
        List<String> qemuArgs = top.list("qemu_args", Function.identity());
        Optional<Path> serial = top.optional("serial", path);
        Protection protection = protection(top);
        return top.build(() -> new VmConfig(
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
                protection));
    }

    private static HostPort defaultControl(Section top, Endpoint blkServer) throws ConfigException {
        return switch (blkServer) {
            case HostPort(var host, var port) when port < 65535 -> new HostPort(host, port + 1);
            case HostPort full ->
                throw top.error("control", "is missing, and there is no port after " + full + "; give HOST:PORT");
            case Endpoint.UnixPath unix ->
                throw top.error("control", "is missing; with blk_server " + unix + " it must be given as HOST:PORT");
        };
    }

    private static Optional<DirectBoot> boot(Section top, Function<String, Path> path) throws ConfigException {
        Optional<Path> kernel = top.optional("kernel", path);
        Optional<Path> initrd = top.optional("initrd", path);
        Optional<String> append = top.text("append");
        if (kernel.isPresent()) {
            return Optional.of(new DirectBoot(kernel.get(), initrd, append.orElse("")));
        }
        if (initrd.isPresent() || append.isPresent()) {
            throw top.error(initrd.isPresent() ? "initrd" : "append", "has no use without kernel; give kernel too");
        }
        return Optional.empty();
    }

    private static int parseNice(String text) {
        try {
            return Integer.parseInt(text.strip());
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("\"" + text + "\" is not a number; write it like -10", e);
        }
    }

    private static Optional<Uefi> uefi(Section top, Function<String, Path> path) throws ConfigException {
        Optional<Path> code = top.optional("firmware", text -> switch (text) {
            case "bios" -> Path.of("");
            case "uefi" -> Uefi.installed();
            default -> path.apply(text);
        });
        Optional<Path> vars = top.optional("firmware_vars", path);
        boolean isUefi = code.isPresent() && !code.get().equals(Path.of(""));
        if (isUefi && vars.isEmpty()) {
            throw top.error("firmware_vars", "is missing; name a file for what this VM's firmware keeps");
        }
        if (!isUefi && vars.isPresent()) {
            throw top.error("firmware_vars", "has no use without firmware: uefi");
        }
        return isUefi ? Optional.of(new Uefi(code.get(), vars.orElseThrow())) : Optional.empty();
    }

    private static Copying copying(Section section) throws ConfigException {
        Copying fallback = Copying.DEFAULT;
        long syncRate = section.get("sync_rate", fallback.syncRateBytes(), Quantity::parseSize);
        int verifyEpochs = section.get("verify_epochs", fallback.verifyEpochs(), Quantity::parseCount);
        var compression = section.get("compression", fallback.compression(), Copying.Compression::parse);
        long cache = section.get("delta_cache", fallback.cacheBytes(), Quantity::parseSize);
        return section.build(() -> new Copying(syncRate, verifyEpochs, compression, cache));
    }

    private static Protection protection(Section top) throws ConfigException {
        Optional<Section> given = top.section("protection", PROTECTION_KEYS);
        if (given.isEmpty()) {
            return Protection.DEFAULT;
        }
        Section section = given.get();
        Protection fallback = Protection.DEFAULT;
        var epoch = section.get("epoch", fallback.epoch(), Quantity::parseDuration);
        int maxInFlight = section.get("max_in_flight", fallback.maxInFlight(), Quantity::parseCount);
        var heartbeat = section.get("heartbeat", fallback.heartbeat(), Quantity::parseDuration);
        var failureTimeout = section.get("failure_timeout", fallback.failureTimeout(), Quantity::parseDuration);
        var qemuTimeout = section.get("qemu_timeout", fallback.qemuTimeout(), Quantity::parseDuration);
        List<HostPort> standbys = section.list("standbys", HostPort::parse);
        boolean auto = section.get("auto", fallback.auto(), Quantity::parseFlag);
        HostPort listen = section.get("listen", fallback.listen(), HostPort::parse);
        long stagingBytes = section.get("staging", fallback.stagingBytes(), Quantity::parseSize);
        long heldFramesBytes = section.get("held_frames", fallback.heldFramesBytes(), Quantity::parseSize);
        CpuList cpuAffinity = section.get("cpu_affinity", fallback.cpuAffinity(), CpuList::parse);
        int nice = section.get("nice", fallback.nice(), VmConfigReader::parseNice);
        Copying copying = copying(section);
        return section.build(() -> new Protection(
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
                copying));
    }
}
