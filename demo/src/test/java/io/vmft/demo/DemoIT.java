package io.vmft.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The whole system: real hosts' processes, a real guest, real kills. */
@Timeout(240)
class DemoIT {
    private static final Path GUEST = Path.of("target/guest").toAbsolutePath();
    private static final Path TARGET = Path.of("target/demo-it").toAbsolutePath();
    private static final long SEED = 20_251;

    private @Nullable Workplace place;

    @BeforeEach
    void prepare() throws Exception {
        assumeTrue(System.getProperty("user.name").equals("root"), "network namespaces need root");
        assumeTrue(Files.isWritable(Path.of("/dev/net/tun")), "/dev/net/tun cannot be opened");
        assumeTrue(Command.attempt("sh", "-c", "command -v qemu-system-x86_64").status() == 0, "there is no QEMU");
        Command.run("src/main/guest/build-guest.sh", GUEST.toString());
        place = Workplace.create();
    }

    @AfterEach
    void remove() throws Exception {
        if (place != null) {
            place.remove();
        }
    }

    @ParameterizedTest
    @CsvSource({"2, transitional", "1, legacy"})
    void theClientLosesNothingWhenPrimariesDie(int kills, String virtio) throws Exception {
        Workplace place = Objects.requireNonNull(this.place);
        ByteArrayOutputStream shown = new ByteArrayOutputStream();
        DemoOptions options = new DemoOptions(SEED, kills, "qemu-system-x86_64", "auto", virtio, false, GUEST, TARGET);
        DemoReport report;
        try {
            report = new Demo(options, place, new PrintStream(shown, true, StandardCharsets.UTF_8), false).run();
        } finally {
            System.out.println(shown.toString(StandardCharsets.UTF_8));
            place.saveLogs(TARGET.resolve("logs"));
        }

        assertThat(report.problems()).isEmpty();
        assertThat(report.pass()).isTrue();
        assertThat(report.kills()).isEqualTo(kills);
        assertThat(report.recordsAcknowledged()).isPositive();
        assertThat(report.epochs()).isPositive();
        String id = place.id();
        place.remove();
        assertThat(Path.of("/run/netns/vmft-" + id + "-a")).doesNotExist();
        assertThat(Workplace.find(id)).isEmpty();
    }
}
