package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

import io.vmft.engine.config.Endpoint.HostPort;
import java.util.Optional;

/**
 * The VM's screen.
 *
 * @param vga whether it has one: QEMU's standard VGA
 * @param vnc where QEMU shows it; on the backup too, where it stays blank until a takeover
 */
public record Display(boolean vga, Optional<HostPort> vnc) {
    /** No screen. */
    public static final Display NONE = new Display(false, Optional.empty());

    /** VNC's display 0; QEMU counts from here. */
    public static final int FIRST_VNC_PORT = 5900;

    public Display {
        require(vga || vnc.isEmpty(), "vnc", "shows nothing without a screen; set vga to std");
        vnc.ifPresent(address -> require(
                address.port() >= FIRST_VNC_PORT,
                "vnc",
                address + " has a port below " + FIRST_VNC_PORT + ", where VNC's displays begin"));
    }

    static boolean parseVga(String text) {
        return switch (text) {
            case "none" -> false;
            case "std" -> true;
            default -> throw new IllegalArgumentException("\"" + text + "\" is neither none nor std");
        };
    }
}
