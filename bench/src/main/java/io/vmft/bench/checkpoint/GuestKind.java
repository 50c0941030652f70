package io.vmft.bench.checkpoint;

import java.nio.file.Path;

/**
 * A guest to measure.
 *
 * @param name in results
 * @param memoryMib its RAM
 * @param accelerator {@code kvm} or {@code tcg}
 * @param append kernel command line
 * @param epochMillis how long an epoch lasts
 * @param settings a line for its {@code protection} section, or none
 * @param legacyVirtio its virtio devices speak the interface from before virtio 1.0 only
 * @param linux Debian's kernel with a virtio disk and a virtio network card; else the test guest, which has neither and writes memory for ever
 */
record GuestKind(
        String name,
        int memoryMib,
        String accelerator,
        String append,
        int epochMillis,
        String settings,
        boolean linux,
        boolean legacyVirtio) {
    /** Linux under TCG. */
    static GuestKind linux(String name, String words) {
        return new GuestKind(
                name,
                256,
                "tcg",
                "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on " + words
                        + " vmft.ip=" + Ground.GUEST_ADDRESS + "/24",
                CheckpointBench.EPOCH_MILLIS,
                "",
                true,
                false);
    }

    /** The guest that writes one word in each of {@code pages} pages in turn. */
    static GuestKind writer(String name, String accelerator, int memoryMib, int pages, int pace) {
        return new GuestKind(
                name,
                memoryMib,
                accelerator,
                "report=1000000000 pages=" + pages + " pace=" + pace,
                CheckpointBench.EPOCH_MILLIS,
                "",
                false,
                false);
    }

    /** Another address on the network, for a second VM beside the first. */
    GuestKind at(String address) {
        return new GuestKind(
                name,
                memoryMib,
                accelerator,
                append.replace(Ground.GUEST_ADDRESS, address),
                epochMillis,
                settings,
                linux,
                legacyVirtio);
    }

    GuestKind withLegacyVirtio() {
        return new GuestKind(name, memoryMib, accelerator, append, epochMillis, settings, linux, true);
    }

    GuestKind with(String line) {
        return new GuestKind(name, memoryMib, accelerator, append, epochMillis, line, linux, legacyVirtio);
    }

    GuestKind withEpoch(int millis) {
        return new GuestKind(name, memoryMib, accelerator, append, millis, settings, linux, legacyVirtio);
    }

    /**
     * Its description for an engine.
     *
     * @param volume the disk's name at the block server
     * @param more lines for its {@code protection} section
     */
    String yaml(String vm, String volume, String nbd, String control, String tap, Path serial, String more) {
        return """
                name: %s
                memory: %dM
                accelerator: %s
                %sblk_server: %s
                control: %s
                kernel: '%s'
                append: '%s'
                serial: '%s'
                %s%s
                protection:
                  epoch: %dms
                %s
                """.formatted(
                vm,
                memoryMib,
                accelerator,
                // Not every host lets a guest have this MSR, and no guest here asks for it.
                accelerator.equals("kvm") ? "cpu_model: host,-arch-capabilities\n" : "",
                nbd,
                control,
                linux ? Artifacts.linuxKernel() : Artifacts.testGuest(),
                append,
                serial,
                linux ? """
                                initrd: '%s'
                                disks:
                                  - volume: %s
                                nics:
                                  - mac: 52:54:00:76:6d:%02x
                                    tap: %s
                                    bridge: %s
                                """.formatted(Artifacts.linuxInitrd(), volume, vm.hashCode() & 0xff, tap, Ground.BRIDGE) : "",
                legacyVirtio ? "qemu_args: [-global, virtio-pci.disable-modern=on]" : "",
                epochMillis,
                (more + "\n" + settings).indent(2).stripTrailing());
    }
}
