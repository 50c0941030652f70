package io.vmft.engine.config;

import java.util.Locale;

/** How the guest's instructions run. */
public enum Accelerator {
    /** KVM where it runs this VM at speed, TCG elsewhere. */
    AUTO,
    KVM,
    TCG;

    static Accelerator parse(String text) {
        return switch (text) {
            case "auto" -> AUTO;
            case "kvm" -> KVM;
            case "tcg" -> TCG;
            default -> throw new IllegalArgumentException("\"" + text + "\" is none of auto, kvm, tcg");
        };
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
