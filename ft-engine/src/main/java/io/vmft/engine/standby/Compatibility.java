package io.vmft.engine.standby;

import io.vmft.engine.config.Fingerprint;
import io.vmft.kvm.RamLayout;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Prepare;
import java.util.List;

/**
 * What a primary must have in common with this host so that its VM can go on here. Refusals are whole sentences that both hosts'
 * operators read, with the way out; an empty one means that all is well.
 *
 * @param host this host's name
 * @param qemuVersion of this host's QEMU
 * @param fingerprint of the VM, as settled here
 */
record Compatibility(String host, String qemuVersion, Fingerprint fingerprint) {
    /** What speaks against the primary that says {@code hello}. */
    String refusal(Hello hello) {
        if (hello.getProtocol() != Frame.PROTOCOL) {
            return "it speaks protocol " + Frame.PROTOCOL + ", the primary " + hello.getProtocol()
                    + "; run the same vmft on both hosts";
        }
        if (hello.getHost().equals(host)) {
            return "both engines call their host " + host + "; give one another name with --host";
        }
        if (!hello.getQemuVersion().equals(qemuVersion)) {
            return "its QEMU is " + qemuVersion + ", the primary's " + hello.getQemuVersion()
                    + "; use the same on both hosts";
        }
        List<String> differences = fingerprint.differencesFrom(Fingerprint.of(hello.getFingerprintMap()));
        return differences.isEmpty()
                ? ""
                : String.join("; ", differences) + "; use the same VM file on both hosts (here: the standby)";
    }

    /** What speaks against the QEMU that was started here for the primary that says {@code prepare}. */
    static String refusal(Prepare prepare, RamLayout layout) {
        return layout.blockPages().equals(prepare.getBlockPagesList())
                ? ""
                : "its QEMU has memory of " + layout.blockPages() + " pages beside guest RAM, the primary's "
                        + prepare.getBlockPagesList() + "; use the same QEMU, firmware and devices on both hosts";
    }
}
