package io.vmft.engine.qemu;

import io.vmft.engine.config.Fingerprint;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The file QEMU loads as the PC's firmware. A QEMU that waits for a state does not load it, so the guest could not be reset after
 * a takeover unless it came with the state.
 */
final class Firmware {
    /** The block QEMU keeps it in. */
    static final String BLOCK = "pc.bios";

    private static final String DEFAULT = "bios-256k.bin";
    private static final int MAX_BYTES = 16 << 20;

    private final Path file;

    private Firmware(Path file) {
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

    RamBlock block() throws QemuException {
        try {
            if (Files.size(file) > MAX_BYTES) {
                throw new QemuException("firmware " + file + " is larger than " + MAX_BYTES + " bytes");
            }
            return new RamBlock(BLOCK, ByteBuffer.wrap(Files.readAllBytes(file)));
        } catch (IOException | IllegalArgumentException e) {
            throw new QemuException("firmware " + file + " cannot be used: " + e.getMessage(), e);
        }
    }

    String fact() throws QemuException {
        try {
            return Fingerprint.contents(file);
        } catch (IOException e) {
            throw new QemuException("firmware " + file + " cannot be read: " + e.getMessage(), e);
        }
    }
}
