package io.vmft.engine.qemu;

import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.VmConfig;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Asks the QEMU of this host what a VM's file leaves open. Blocking; a few hundred milliseconds. */
public final class QemuProbe {
    private static final Pattern VERSION = Pattern.compile("QEMU emulator version ((\\d{1,4})\\.(\\d{1,4})[^\\r\\n]*)");
    private static final Pattern ALIAS = Pattern.compile("(?m)^(\\S+)\\s.*\\(alias of (\\S+)\\)");

    /** The first with {@code -netdev stream}. */
    private static final int OLDEST_MAJOR = 7;

    private static final int OLDEST_MINOR = 2;

    private QemuProbe() {}

    /**
     * Finds the binary, settles machine type, accelerator and CPU model.
     *
     * @throws QemuException if the binary is missing or too old, does not know the machine type, or KVM is asked for and cannot
     *     be used
     */
    public static QemuInfo probe(VmConfig config) throws QemuException, InterruptedException {
        Path binary = find(config.qemu());
        String version = version(ShortRun.output(binary, "--version"), binary);
        String machine = machine(ShortRun.output(binary, "-machine", "help"), config.machine(), version);
        KvmProbe.Result kvm = switch (config.accelerator()) {
            case AUTO -> KvmProbe.run(binary);
            case KVM -> KvmProbe.device();
            case TCG -> new KvmProbe.Result(false, "the file asks for it");
        };
        if (config.accelerator() == Accelerator.KVM && !kvm.usable()) {
            throw new QemuException(config.name() + ": accelerator: kvm cannot be used: " + kvm.reason()
                    + "; give this user access to /dev/kvm, or set accelerator to auto or tcg");
        }
        Accelerator accelerator = kvm.usable() ? Accelerator.KVM : Accelerator.TCG;
        String cpuModel = config.cpuModel().orElse(accelerator == Accelerator.KVM ? "host" : "");
        boolean seesHost =
                accelerator == Accelerator.KVM && (cpuModel.startsWith("host") || cpuModel.startsWith("max"));
        return new QemuInfo(
                binary,
                version,
                machine,
                accelerator,
                kvm.reason(),
                cpuModel,
                firmware(config, binary).fact(),
                seesHost ? hostProcessor() : "");
    }

    private static Firmware firmware(VmConfig config, Path binary) throws QemuException, InterruptedException {
        return config.uefi().isPresent()
                ? new Firmware(config.uefi().get().code())
                : Firmware.find(binary, config.qemuArgs());
    }

    /** Resolves {@code qemu} as a shell would. */
    static Path find(String qemu) throws QemuException {
        if (qemu.indexOf('/') >= 0) {
            Path path = Path.of(qemu).toAbsolutePath();
            if (!Files.isExecutable(path) || Files.isDirectory(path)) {
                throw new QemuException(
                        "qemu: " + path + " is not an executable file; install QEMU or correct the path");
            }
            return path;
        }
        String path = System.getenv().getOrDefault("PATH", "/usr/bin:/bin");
        for (String folder : path.split(File.pathSeparator, -1)) {
            Path candidate = Path.of(folder, qemu);
            if (!folder.isEmpty() && Files.isExecutable(candidate) && !Files.isDirectory(candidate)) {
                return candidate;
            }
        }
        throw new QemuException(
                "qemu: there is no " + qemu + " on PATH; install QEMU (Debian: qemu-system-x86) or give its path");
    }

    static String version(String output, Path binary) throws QemuException {
        Matcher matcher = VERSION.matcher(output);
        if (!matcher.find()) {
            throw new QemuException("qemu: " + binary + " does not look like QEMU: it says "
                    + output.lines().findFirst().orElse("nothing"));
        }
        int major = Integer.parseInt(matcher.group(2));
        int minor = Integer.parseInt(matcher.group(3));
        if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR)) {
            throw new QemuException("qemu: " + binary + " is version " + matcher.group(1) + "; 7.2 or newer is needed");
        }
        return matcher.group(1);
    }

    /** Replaces an alias by the versioned name it stands for. */
    static String machine(String help, String wanted, String version) throws QemuException {
        Matcher matcher = ALIAS.matcher(help);
        while (matcher.find()) {
            if (matcher.group(1).equals(wanted)) {
                return matcher.group(2);
            }
        }
        if (help.lines().noneMatch(line -> line.startsWith(wanted + " "))) {
            throw new QemuException("machine: QEMU " + version + " has no machine type " + wanted
                    + "; choose one of those that -machine help lists");
        }
        return wanted;
    }

    private static String hostProcessor() {
        try {
            List<String> lines = Files.readAllLines(Path.of("/proc/cpuinfo"));
            String flags = value(lines, "flags");
            byte[] digest = MessageDigest.getInstance("SHA-256").digest(flags.getBytes(StandardCharsets.UTF_8));
            return value(lines, "model name") + ", features " + HexFormat.of().formatHex(digest, 0, 4);
        } catch (IOException e) {
            return "unknown";
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    private static String value(List<String> lines, String name) {
        return lines.stream()
                .filter(line -> line.startsWith(name))
                .map(line -> line.substring(line.indexOf(':') + 1).strip())
                .findFirst()
                .orElse("unknown");
    }
}
