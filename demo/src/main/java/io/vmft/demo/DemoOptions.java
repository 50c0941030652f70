package io.vmft.demo;

import java.nio.file.Path;

/**
 * What a run is to do.
 *
 * @param kills how often the primary dies; at least 1
 * @param qemu the binary, a path or a name on PATH
 * @param accelerator {@code auto}, {@code kvm} or {@code tcg}
 * @param virtio {@code transitional} or {@code legacy}
 * @param keep leave everything running at the end
 * @param guest folder with {@code vmlinuz}, {@code initrd} and {@code disk.img}
 * @param target folder for the report and for saved logs
 */
record DemoOptions(
        long seed, int kills, String qemu, String accelerator, String virtio, boolean keep, Path guest, Path target) {}
