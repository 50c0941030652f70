package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.engine.config.Accelerator;
import io.vmft.engine.config.Fingerprint;
import io.vmft.engine.config.VmConfig;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(120)
final class QemuProbeIT {
    @BeforeEach
    void needQemu() {
        QemuVm.assumeQemu();
    }

    @Test
    void settlesTheMachineAndTheFingerprint() throws Exception {
        VmConfig config = Vms.bare(List.of());
        QemuInfo info = QemuProbe.probe(config);
        assertThat(info.machine()).matches("pc-i440fx-\\d+\\.\\d+");
        assertThat(info.version()).matches("\\d+\\.\\d+.*");
        assertThat(info.accelerator()).isEqualTo(Accelerator.TCG);
        assertThat(info.acceleratorReason()).isEqualTo("the file asks for it");
        Fingerprint settled = info.settle(Fingerprint.of(Map.of("machine", "pc", "memory", "64 MiB")));
        assertThat(settled.facts())
                .containsEntry("machine", info.machine())
                .containsEntry("accelerator", "tcg")
                .containsKey("firmware");
    }

    /** The firmware of the KVM probe does what it should: TCG is fast enough for it everywhere. */
    @Test
    void theKvmProbesFirmwareCounts() throws Exception {
        KvmProbe.Result result = KvmProbe.run(Path.of("/usr/bin/env"), "tcg");
        assertThat(result.usable()).isFalse();
        QemuInfo info = QemuProbe.probe(Vms.bare(List.of()));
        assertThat(KvmProbe.run(info.binary(), "tcg").reason()).contains("20 million instructions in");
    }

    @Test
    void kvmIsJudgedByWhatItDoes() throws Exception {
        KvmProbe.Result device = KvmProbe.device();
        assumeTrue(device.usable(), device.reason());
        QemuInfo info = QemuProbe.probe(Vms.bare(List.of()));
        KvmProbe.Result result = KvmProbe.run(info.binary());
        assertThat(result.reason()).isNotEqualTo("QEMU does not start a guest with KVM");
    }
}
