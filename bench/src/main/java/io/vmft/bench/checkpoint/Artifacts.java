package io.vmft.bench.checkpoint;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Files that the launcher built before it started the benchmark. */
final class Artifacts {
    private Artifacts() {}

    static Path linuxKernel() {
        return linux("vmlinuz");
    }

    static Path linuxInitrd() {
        return linux("initrd");
    }

    static Path linuxDisk() {
        return linux("disk.img");
    }

    static Path testGuest() {
        return Path.of(System.getProperty("vmft.native.dir", "."), "kvm-guest.elf");
    }

    private static Path linux(String name) {
        return Path.of(System.getProperty("vmft.home", "."), "demo/target/guest", name);
    }

    static void require(Path file) throws IOException {
        if (!Files.exists(file)) {
            throw new IOException(file + " is missing; start the benchmark with ./vmft bench checkpoint");
        }
    }
}
