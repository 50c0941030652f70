package io.vmft.engine.qemu;

import io.vmft.engine.config.Fingerprint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The file that is the PC's firmware; both hosts' must be the same. */
final class Firmware {
    private static final String DEFAULT = "bios-256k.bin";

    private final Path file;

    Firmware(Path file) {
        this.file = file;
    }

    /**
     * Looks where QEMU looks: the name as a path, then in its data folders.
     *
     * @param arguments QEMU's, of which {@code -bios} and {@code -L} matter
     * @throws QemuException if it is nowhere
     */
    static Firmware find(Path binary, List<String> arguments) throws QemuException, InterruptedException {
        String name = DEFAULT;
        List<String> question = new ArrayList<>();
        for (int i = 0; i + 1 < arguments.size(); i++) {
            switch (arguments.get(i)) {
                case "-bios", "--bios" -> name = arguments.get(i + 1);
                case "-L", "--L" -> question.addAll(List.of("-L", arguments.get(i + 1)));
                default -> {}
            }
        }
        if (Files.isRegularFile(Path.of(name))) {
            return new Firmware(Path.of(name));
        }
        question.addAll(List.of("-L", "help"));
        String folders = ShortRun.output(binary, question.toArray(String[]::new));
        for (String folder : folders.lines().toList()) {
            Path candidate = Path.of(folder).resolve(name);
            if (Files.isRegularFile(candidate)) {
                return new Firmware(candidate);
            }
        }
        throw new QemuException("there is no firmware " + name + " where QEMU looks ("
                + String.join(", ", folders.lines().toList()) + "); install it (Debian: seabios)");
    }

    String fact() throws QemuException {
        try {
            return Fingerprint.contents(file);
        } catch (IOException e) {
            throw new QemuException("firmware " + file + " cannot be read: " + e.getMessage(), e);
        }
    }
}
