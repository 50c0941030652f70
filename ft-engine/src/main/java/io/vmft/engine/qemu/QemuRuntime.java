package io.vmft.engine.qemu;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * What one run of QEMU gets from its engine.
 *
 * @param directory private to this run; its sockets lie there
 * @param ramFile the file that is guest RAM, on a memory file system; made if there is none
 * @param generation the exports' generation ({@code VOLUME@generation}); 0 for the bare volumes
 * @param incoming wait for a saved state instead of booting
 */
public record QemuRuntime(Path directory, Path ramFile, long generation, boolean incoming) {
    /** {@code sun_path} without its final zero byte. */
    private static final int MAX_SOCKET_PATH_BYTES = 107;

    public QemuRuntime {
        directory = directory.toAbsolutePath();
        ramFile = ramFile.toAbsolutePath();
        if (generation < 0) {
            throw new IllegalArgumentException("generation " + generation + " is negative");
        }
        Path longest = directory.resolve("incoming.sock");
        if (longest.toString().getBytes(StandardCharsets.UTF_8).length > MAX_SOCKET_PATH_BYTES) {
            throw new IllegalArgumentException(
                    directory + ": the path is too long for unix sockets; use a shorter folder");
        }
    }

    /** Where the engine listens for QMP. */
    public Path qmpSocket() {
        return directory.resolve("qmp.sock");
    }

    /** Where the engine's gate listens for network card {@code index}. */
    public Path nicSocket(int index) {
        return directory.resolve("nic" + index + ".sock");
    }

    /** Where QEMU listens for a saved state. */
    public Path incomingSocket() {
        return directory.resolve("incoming.sock");
    }
}
