package io.vmft.engine.standby;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.engine.config.Fingerprint;
import io.vmft.kvm.RamLayout;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.engine.v1.Hello;
import io.vmft.proto.engine.v1.Prepare;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CompatibilityTest {
    private final Compatibility here = new Compatibility("b", "7.2.22", Fingerprint.of(Map.of("memory", "256 MiB")));

    @Test
    void aPrimaryThatHasEverythingInCommonIsWelcome() {
        assertThat(here.refusal(hello().build())).isEmpty();
    }

    @Test
    void anotherProtocolIsRefused() {
        assertThat(here.refusal(hello().setProtocol(Frame.PROTOCOL + 1).build()))
                .isEqualTo("it speaks protocol %d, the primary %d; run the same vmft on both hosts"
                        .formatted(Frame.PROTOCOL, Frame.PROTOCOL + 1));
    }

    @Test
    void aPrimaryOfTheSameNameIsRefused() {
        assertThat(here.refusal(hello().setHost("b").build()))
                .isEqualTo("both engines call their host b; give one another name with --host");
    }

    @Test
    void anotherQemuIsRefused() {
        assertThat(here.refusal(hello().setQemuVersion("9.0.0").build()))
                .isEqualTo("its QEMU is 7.2.22, the primary's 9.0.0; use the same on both hosts");
    }

    @Test
    void anotherVmFileIsRefusedWithWhatDiffers() {
        assertThat(here.refusal(hello().putFingerprint("memory", "512 MiB").build()))
                .isEqualTo(
                        "memory is 256 MiB here, 512 MiB there; use the same VM file on both hosts (here: the standby)");
    }

    @Test
    void aQemuWithAnotherMemoryLayoutIsRefused() {
        Prepare prepare =
                Prepare.newBuilder().addBlockPages(64).addBlockPages(4096).build();
        assertThat(Compatibility.refusal(prepare, new RamLayout(65536, List.of(64L, 4096L))))
                .isEmpty();
        assertThat(Compatibility.refusal(prepare, new RamLayout(65536, List.of(64L))))
                .isEqualTo("its QEMU has memory of [64] pages beside guest RAM, the primary's [64, 4096]; "
                        + "use the same QEMU, firmware and devices on both hosts");
    }

    private static Hello.Builder hello() {
        return Hello.newBuilder()
                .setProtocol(Frame.PROTOCOL)
                .setHost("a")
                .setQemuVersion("7.2.22")
                .putFingerprint("memory", "256 MiB");
    }
}
