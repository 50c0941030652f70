package io.vmft.engine.config;

import java.util.Locale;

/** Which interface disks and network cards have, in the words of the virtio specification (1.3, section 1.3.1). */
public enum Virtio {
    /** The one of virtio 1.0 and the one before; the guest takes which it knows. */
    TRANSITIONAL,
    /** The one before virtio 1.0 only. QEMU saves a good deal less state of such a device (docs/checkpoints.md). */
    LEGACY;

    static Virtio parse(String text) {
        return switch (text) {
            case "transitional" -> TRANSITIONAL;
            case "legacy" -> LEGACY;
            default -> throw new IllegalArgumentException("\"" + text + "\" is neither transitional nor legacy");
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
