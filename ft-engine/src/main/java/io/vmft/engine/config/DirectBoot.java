package io.vmft.engine.config;

import java.nio.file.Path;
import java.util.Optional;

/**
 * A Linux or multiboot kernel that QEMU loads itself.
 *
 * @param append the kernel's command line; empty for none
 */
public record DirectBoot(Path kernel, Optional<Path> initrd, String append) {}
