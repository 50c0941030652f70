package io.vmft.bench.checkpoint;

import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/**
 * A guest to measure.
 *
 * @param name in results
 * @param memoryMib its RAM
 * @param accelerator {@code kvm} or {@code tcg}
 * @param append kernel command line, without its address
 * @param address on the network; empty: none
 * @param devices what it has beside a console; with any it is Debian's kernel, else the test guest, which writes memory for ever
 * @param protection settings of its {@code protection} section, by key
 */
record GuestKind(
        String name,
        int memoryMib,
        String accelerator,
        String append,
        String address,
        Devices devices,
        Map<String, String> protection) {
    enum Devices {
        NONE,
        /** A disk and a network card. */
        VIRTIO,
        /** The same, which speak the interface from before virtio 1.0 only. */
        LEGACY_VIRTIO
    }

    private static final Map<String, String> PROTECTION = Map.of("epoch", CheckpointBench.EPOCH_MILLIS + "ms");

    GuestKind {
        protection = Map.copyOf(protection);
    }

    /** Linux under TCG. */
    static GuestKind linux(String name, String words) {
        return new GuestKind(
                name,
                256,
                "tcg",
                "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on " + words,
                Ground.GUEST_ADDRESS,
                Devices.VIRTIO,
                PROTECTION);
    }

    /** The same with older devices, and named so. */
    GuestKind legacy() {
        return new GuestKind(
                name + "-legacy-virtio", memoryMib, accelerator, append, address, Devices.LEGACY_VIRTIO, protection);
    }

    /** The same at another address, for a second VM beside the first. */
    GuestKind at(String other) {
        return new GuestKind(name, memoryMib, accelerator, append, other, devices, protection);
    }

    /** The guest that writes one word in each of {@code pages} pages in turn. */
    static GuestKind writer(String name, String accelerator, int memoryMib, int pages, int pace) {
        return new GuestKind(
                name,
                memoryMib,
                accelerator,
                "report=1000000000 pages=" + pages + " pace=" + pace,
                "",
                Devices.NONE,
                PROTECTION);
    }

    /** With another setting, or another value of one, in its {@code protection} section. */
    GuestKind with(String key, String value) {
        Map<String, String> changed = new HashMap<>(protection);
        changed.put(key, value);
        return new GuestKind(name, memoryMib, accelerator, append, address, devices, changed);
    }

    /** Whether it runs Debian's kernel. */
    boolean isLinux() {
        return devices != Devices.NONE;
    }

    /**
     * Its description for an engine.
     *
     * @param volume the disk's name at the block server
     * @param more a line for its {@code protection} section
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
                %s
                """.formatted(
                vm,
                memoryMib,
                accelerator,
                // Not every host lets a guest have this MSR, and no guest here asks for it.
                accelerator.equals("kvm") ? "cpu_model: host,-arch-capabilities\n" : "",
                nbd,
                control,
                isLinux() ? Artifacts.linuxKernel() : Artifacts.testGuest(),
                address.isEmpty() ? append : append + " vmft.ip=" + address + "/24",
                serial,
                isLinux()
                        ? """
                                initrd: '%s'
                                disks:
                                  - volume: %s
                                nics:
                                  - mac: 52:54:00:76:6d:%02x
                                    tap: %s
                                    bridge: %s
                                """.formatted(Artifacts.linuxInitrd(), volume, vm.hashCode() & 0xff, tap, Ground.BRIDGE)
                        : "",
                devices == Devices.LEGACY_VIRTIO ? "virtio: legacy" : "",
                protectionLines(more));
    }

    private String protectionLines(String more) {
        StringBuilder lines = new StringBuilder(more);
        protection.forEach(
                (key, value) -> lines.append('\n').append(key).append(": ").append(value));
        return lines.toString().indent(2).stripTrailing();
    }
}
