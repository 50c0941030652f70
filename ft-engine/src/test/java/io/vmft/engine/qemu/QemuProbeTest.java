package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Path;
import org.junit.jupiter.api.Test;

final class QemuProbeTest {
    private static final String MACHINES = """
            Supported machines are:
            pc                   Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)
            pc-i440fx-7.2        Standard PC (i440FX + PIIX, 1996) (default)
            pc-i440fx-7.1        Standard PC (i440FX + PIIX, 1996)
            q35                  Standard PC (Q35 + ICH9, 2009) (alias of pc-q35-7.2)
            """;

    @Test
    void resolvesAliasesToVersionedMachines() throws QemuException {
        assertThat(QemuProbe.machine(MACHINES, "pc", "7.2")).isEqualTo("pc-i440fx-7.2");
        assertThat(QemuProbe.machine(MACHINES, "q35", "7.2")).isEqualTo("pc-q35-7.2");
        assertThat(QemuProbe.machine(MACHINES, "pc-i440fx-7.1", "7.2")).isEqualTo("pc-i440fx-7.1");
    }

    @Test
    void refusesMachinesThatQemuDoesNotHave() {
        assertThatThrownBy(() -> QemuProbe.machine(MACHINES, "pc-i440fx-10.0", "7.2.22"))
                .isInstanceOf(QemuException.class)
                .hasMessageContaining("QEMU 7.2.22 has no machine type pc-i440fx-10.0");
    }

    @Test
    void readsTheVersion() throws QemuException {
        Path binary = Path.of("/q");
        assertThat(QemuProbe.version("QEMU emulator version 7.2.22 (Debian 1:7.2)\nCopyright", binary))
                .isEqualTo("7.2.22 (Debian 1:7.2)");
        assertThat(QemuProbe.version("QEMU emulator version 10.0.2", binary)).isEqualTo("10.0.2");
        assertThatThrownBy(() -> QemuProbe.version("QEMU emulator version 7.1.0", binary))
                .hasMessageContaining("7.2 or newer is needed");
        assertThatThrownBy(() -> QemuProbe.version("hello", binary)).hasMessageContaining("does not look like QEMU");
    }

    @Test
    void findsBinariesAsAShellDoes() throws QemuException {
        assertThat(QemuProbe.find("sh")).isExecutable().hasFileName("sh");
        assertThat(QemuProbe.find("/bin/sh")).isEqualTo(Path.of("/bin/sh"));
        assertThatThrownBy(() -> QemuProbe.find("no-such-qemu")).hasMessageContaining("no no-such-qemu on PATH");
        assertThatThrownBy(() -> QemuProbe.find("/etc/passwd")).hasMessageContaining("is not an executable file");
        assertThatThrownBy(() -> QemuProbe.find("/usr/bin/")).hasMessageContaining("is not an executable file");
    }
}
