package io.vmft.engine.qemu;

import java.util.List;

/**
 * How QEMU ended.
 *
 * @param status its exit status; 128 + signal number if a signal ended it
 * @param lastLines the last lines it wrote to stderr or stdout, oldest first
 */
public record QemuExit(int status, List<String> lastLines) {
    /** IA32_ARCH_CAPABILITIES, which KVM inside a virtual machine may offer and then not let QEMU set. */
    private static final String REFUSED_MSR = "failed to set MSR 0x10a";

    public QemuExit {
        lastLines = List.copyOf(lastLines);
    }

    /** In one line: how it ended and what it said last. */
    public String inWords() {
        String how = status > 128 ? "QEMU was ended by signal " + (status - 128) : "QEMU ended with status " + status;
        return lastLines.isEmpty() ? how + " and said nothing" : how + ": " + String.join("; ", lastLines) + wayOut();
    }

    private String wayOut() {
        return lastLines.stream().anyMatch(line -> line.contains(REFUSED_MSR))
                ? " (this host's KVM does not let a guest have that part of its processor: on both hosts, set cpu_model: host,-arch-capabilities)"
                : "";
    }
}
