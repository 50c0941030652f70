package io.vmft.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The demo VM's description, the same on both hosts, as an operator would write it. */
final class VmFile {
    private VmFile() {}

    /** Writes it into the run's folder. */
    static Path write(Path folder, DemoOptions options) throws DemoException {
        Path file = folder.resolve("demo.yaml");
        String text = """
                name: %s
                memory: 256M
                cpus: 1
                accelerator: %s
                virtio: %s
                qemu: %s
                blk_server: %s:%d
                control: %s:%d
                disks:
                  - volume: %s
                nics:
                  - mac: 52:54:00:76:6d:66
                    tap: tap0
                    bridge: %s
                kernel: %s
                initrd: %s
                append: console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on vmft.ip=%s/24
                serial: %s
                protection:
                  epoch: 25ms
                  listen: 0.0.0.0:4441
                  standbys: [%s:4441, %s:4441]
                """.formatted(
                        Demo.VM,
                        options.accelerator(),
                        options.virtio(),
                        quoted(options.qemu()),
                        Lab.STORAGE_ADDRESS,
                        Storage.NBD_PORT,
                        Lab.STORAGE_ADDRESS,
                        Storage.CONTROL_PORT,
                        Demo.VM,
                        Lab.BRIDGE,
                        quoted(options.guest().resolve("vmlinuz")),
                        quoted(options.guest().resolve("initrd")),
                        Lab.GUEST_ADDRESS,
                        quoted(folder.resolve("logs/guest-console.log")),
                        Lab.hostAddress("a"),
                        Lab.hostAddress("b"));
        try {
            return Files.writeString(file, text);
        } catch (IOException e) {
            throw new DemoException(file + " cannot be written: " + e.getMessage(), e);
        }
    }

    /** A YAML string, whatever is in it. */
    private static String quoted(Object value) {
        return "'" + value.toString().replace("'", "''") + "'";
    }
}
