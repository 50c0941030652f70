package io.vmft.engine.config;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * UEFI firmware in two flash chips.
 *
 * @param code the firmware; the same on both hosts
 * @param vars what the firmware keeps, such as its boot order; each VM and each host has a file of its own, which a takeover overwrites
 */
public record Uefi(Path code, Path vars) {
    /** Where distributions put EDK II. */
    private static final List<Path> CODE = List.of(
            Path.of("/usr/share/OVMF/OVMF_CODE_4M.fd"),
            Path.of("/usr/share/edk2/ovmf/OVMF_CODE.fd"),
            Path.of("/usr/share/edk2/x64/OVMF_CODE.4m.fd"),
            Path.of("/usr/share/OVMF/OVMF_CODE.fd"));

    /** The firmware installed on this host. */
    static Path installed() {
        return CODE.stream()
                .filter(Files::isReadable)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(
                        "uefi: no UEFI firmware is installed; install it (Debian: ovmf) or give its code file's path"));
    }

    /**
     * Makes the variables' file from the empty one beside the code, if it is not there.
     *
     * @throws IOException saying what to do
     */
    public void prepare() throws IOException {
        if (Files.exists(vars)) {
            return;
        }
        Path empty = code.resolveSibling(
                String.valueOf(code.getFileName()).replace("CODE", "VARS").replace(".secboot", ""));
        if (empty.equals(code) || !Files.isReadable(empty)) {
            throw new IOException("firmware_vars " + vars + " is not there, and neither is " + empty
                    + " to make it from; copy the empty variables of your firmware there");
        }
        Files.copy(empty, vars);
    }
}
