package io.vmft.engine.config;

import io.vmft.engine.config.Endpoint.HostPort;
import io.vmft.engine.config.YamlNode.Mapping;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;

/** Turns a file into a {@link VmConfig}. */
final class VmConfigReader {
    private static final int MAX_FILE_BYTES = 1 << 20;

    private static final Set<String> KEYS = Set.of(
            "name",
            "memory",
            "cpus",
            "accelerator",
            "cpu_model",
            "machine",
            "blk_server",
            "control",
            "disks",
            "nics",
            "kernel",
            "initrd",
            "append",
            "qemu",
            "qemu_args",
            "serial",
            "protection");
    private static final Set<String> DISK_KEYS = Set.of("volume");
    private static final Set<String> NIC_KEYS = Set.of("mac", "tap", "bridge");
    private static final Set<String> PROTECTION_KEYS = Set.of(
            "epoch",
            "max_in_flight",
            "heartbeat",
            "failure_timeout",
            "standbys",
            "auto",
            "listen",
            "staging",
            "held_frames");

    private VmConfigReader() {}

    static VmConfig read(Path file, Map<String, String> overrides) throws ConfigException {
        Mapping document = YamlNode.parse(file.toString(), text(file));
        Map<String, YamlNode> entries = new LinkedHashMap<>(document.entries());
        overrides.forEach((key, value) -> entries.put(key, new YamlNode.Scalar(value, document.line())));
        Section top = new Section(file.toString(), "", new Mapping(entries, document.line()), KEYS);
        Function<String, Path> path = text -> beside(file, text);

        Endpoint blkServer = top.required("blk_server", Endpoint::parse);
        Optional<HostPort> givenControl = top.optional("control", HostPort::parse);
        HostPort control = givenControl.isPresent() ? givenControl.get() : defaultControl(top, blkServer);
        List<Disk> disks = new ArrayList<>();
        for (Section disk : top.sections("disks", DISK_KEYS)) {
            String volume = disk.required("volume", Function.identity());
            disks.add(disk.build(() -> new Disk(volume)));
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
        int cpus = top.get("cpus", 1, VmConfigReader::count);
        Accelerator accelerator = top.get("accelerator", Accelerator.AUTO, Accelerator::parse);
        Optional<String> cpuModel = top.optional("cpu_model", Function.identity());
        String machine = top.get("machine", "pc", Function.identity());
        Optional<DirectBoot> boot = boot(top, path);
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
                blkServer,
                control,
                disks,
                nics,
                boot,
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
        Optional<String> append = top.optional("append", Function.identity());
        if (kernel.isPresent()) {
            return Optional.of(new DirectBoot(kernel.get(), initrd, append.orElse("")));
        }
        if (initrd.isPresent() || append.isPresent()) {
            throw top.error(initrd.isPresent() ? "initrd" : "append", "has no use without kernel; give kernel too");
        }
        return Optional.empty();
    }

    private static Protection protection(Section top) throws ConfigException {
        Optional<Section> given = top.section("protection", PROTECTION_KEYS);
        if (given.isEmpty()) {
            return Protection.DEFAULT;
        }
        Section section = given.get();
        Protection fallback = Protection.DEFAULT;
        var epoch = section.get("epoch", fallback.epoch(), Quantity::parseDuration);
        int maxInFlight = section.get("max_in_flight", fallback.maxInFlight(), VmConfigReader::count);
        var heartbeat = section.get("heartbeat", fallback.heartbeat(), Quantity::parseDuration);
        var failureTimeout = section.get("failure_timeout", fallback.failureTimeout(), Quantity::parseDuration);
        List<HostPort> standbys = section.list("standbys", HostPort::parse);
        boolean auto = section.get("auto", fallback.auto(), VmConfigReader::yesOrNo);
        HostPort listen = section.get("listen", fallback.listen(), HostPort::parse);
        long stagingBytes = section.get("staging", fallback.stagingBytes(), Quantity::parseSize);
        long heldFramesBytes = section.get("held_frames", fallback.heldFramesBytes(), Quantity::parseSize);
        return section.build(() -> new Protection(
                epoch, maxInFlight, heartbeat, failureTimeout, standbys, auto, listen, stagingBytes, heldFramesBytes));
    }

    private static String text(Path file) throws ConfigException {
        try (InputStream in = Files.newInputStream(file)) {
            byte[] bytes = in.readNBytes(MAX_FILE_BYTES + 1);
            if (bytes.length > MAX_FILE_BYTES) {
                throw new ConfigException(file + ": is larger than " + Quantity.sizeInWords(MAX_FILE_BYTES)
                        + "; is it a VM's description?");
            }
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            throw new ConfigException(file + ": is not UTF-8 text; is it a VM's description?", e);
        } catch (IOException e) {
            throw new ConfigException(file + ": cannot be read (" + IoReasons.of(e) + ")", e);
        }
    }

    /** A relative path in the file is meant from the file's own folder. */
    private static Path beside(Path file, String text) {
        return file.toAbsolutePath().resolveSibling(Path.of(text)).normalize();
    }

    private static int count(String text) {
        if (!text.matches("\\d{1,9}")) {
            throw new IllegalArgumentException("\"" + text + "\" is not a whole number");
        }
        return Integer.parseInt(text);
    }

    private static boolean yesOrNo(String text) {
        return switch (text) {
            case "true", "yes", "on" -> true;
            case "false", "no", "off" -> false;
            default -> throw new IllegalArgumentException("\"" + text + "\" is neither true nor false");
        };
    }
}
