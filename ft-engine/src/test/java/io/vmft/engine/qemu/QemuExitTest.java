package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class QemuExitTest {
    @Test
    void saysHowItEndedAndWhatItSaid() {
        assertThat(new QemuExit(1, List.of()).inWords()).isEqualTo("QEMU ended with status 1 and said nothing");
        assertThat(new QemuExit(137, List.of("one", "two")).inWords())
                .isEqualTo("QEMU was ended by signal 9: one; two");
    }

    @Test
    void namesTheWayOutWhereKvmRefusesTheHostsProcessor() {
        QemuExit exit =
                new QemuExit(134, List.of("qemu-system-x86_64: error: failed to set MSR 0x10a to 0x1000000ac08e06b"));
        assertThat(exit.inWords()).contains("set cpu_model: host,-arch-capabilities");
    }
}
