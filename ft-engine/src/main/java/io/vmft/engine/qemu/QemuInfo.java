package io.vmft.engine.qemu;

import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.Fingerprint;
import java.nio.file.Path;

/**
 * What was settled about QEMU on this host for one VM; a result of {@link QemuProbe}.
 *
 * @param binary the QEMU executable
 * @param version as it prints it, such as {@code 7.2.22 (Debian 1:7.2+dfsg-7)}
 * @param machine the versioned machine type, such as {@code pc-i440fx-7.2}
 * @param accelerator {@code KVM} or {@code TCG}
 * @param acceleratorReason why that one, in a line for the log
 * @param cpuModel for {@code -cpu}; empty for QEMU's default
 * @param firmware what the firmware's file contains, as a fact for the fingerprint
 * @param hostCpu the host's processor, if the guest sees it ({@code -cpu host} or {@code max} under KVM); else empty
 */
public record QemuInfo(
        Path binary,
        String version,
        String machine,
        Accelerator accelerator,
        String acceleratorReason,
        String cpuModel,
        String firmware,
        String hostCpu) {
    public QemuInfo {
        if (accelerator == Accelerator.AUTO) {
            throw new IllegalArgumentException("auto is settled by now");
        }
    }

    /** {@code config}'s fingerprint with what was settled here in place of what was left open. */
    public Fingerprint settle(Fingerprint config) {
        Fingerprint settled = config.with("machine", machine)
                .with("accelerator", accelerator.toString())
                .with("firmware", firmware);
        settled = cpuModel.isEmpty() ? settled : settled.with("cpu_model", cpuModel);
        return hostCpu.isEmpty() ? settled : settled.with("host processor", hostCpu);
    }
}
