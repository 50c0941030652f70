package io.vmft.engine.qemu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(30)
final class QemuProcessTest {
    @Test
    void tellsStatusAndLastWords() throws Exception {
        QemuExit exit = shell("echo first >&2; echo second >&2; exit 3");
        assertThat(exit.status()).isEqualTo(3);
        assertThat(exit.lastLines()).containsExactly("first", "second");
        assertThat(exit.inWords()).isEqualTo("QEMU ended with status 3: first; second");
    }

    @Test
    void namesTheSignal() throws Exception {
        QemuProcess process = start("echo up; exec sleep 1000");
        await().until(() -> process.lastLines().contains("up"));
        QemuExit exit = process.killAndWait();
        assertThat(exit.inWords()).isEqualTo("QEMU was ended by signal 9: up");
        assertThat(process.isAlive()).isFalse();
        assertThat(process.exited()).isDone();
        process.kill();
    }

    /** Such as a helper for its network: that would hide for ever that QEMU died. */
    @Test
    void whatItLeavesBehindDoesNotKeepItAlive() throws Exception {
        QemuProcess process = start("echo up; sleep 1000 & echo $!; exit 3");
        QemuExit exit = process.exited().get(20, TimeUnit.SECONDS);
        long left = Long.parseLong(exit.lastLines().getLast());
        ProcessHandle.of(left).orElseThrow().destroyForcibly();
        assertThat(exit.inWords()).isEqualTo("QEMU ended with status 3: up; " + left);
    }

    @Test
    void keepsABoundedEndOfALongOutput() throws Exception {
        QemuExit exit = shell("i=0; while [ $i -lt 500 ]; do echo line$i; i=$((i+1)); done; head -c 100000 /dev/zero");
        assertThat(exit.lastLines()).hasSize(50).contains("line499").doesNotContain("line450");
        assertThat(exit.lastLines().getLast()).hasSize(1_000);
    }

    @Test
    void addsToTheEnvironment() throws Exception {
        QemuProcess process =
                QemuProcess.start("vm1", List.of("/bin/sh", "-c", "echo $VMFT_TEST $PATH"), Map.of("VMFT_TEST", "yes"));
        assertThat(process.exited().get(10, TimeUnit.SECONDS).lastLines().getFirst())
                .isEqualTo("yes " + System.getenv("PATH"));
    }

    @Test
    void aBinaryThatIsNotThereIsNamed() {
        assertThatThrownBy(() -> QemuProcess.start("vm1", List.of("/nowhere/qemu"), Map.of()))
                .isInstanceOf(QemuException.class)
                .hasMessageContaining("vm1: cannot start QEMU: Cannot run program \"/nowhere/qemu\"")
                .hasMessageContaining("No such file");
    }

    private static QemuExit shell(String script) throws Exception {
        return start(script).exited().get(20, TimeUnit.SECONDS);
    }

    private static QemuProcess start(String script) throws Exception {
        return QemuProcess.start("vm1", List.of("/bin/sh", "-c", script), Map.of());
    }
}
