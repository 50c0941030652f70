package io.vmft.engine.simulation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** The protocol's model: it holds in the small bound, and every deliberate mistake in it is found. */
@Timeout(600)
class ProtocolModelIT {
    @Test
    void theModelHoldsAndItsMistakesAreFound() throws Exception {
        for (String program : List.of("spin", "gcc")) {
            assumeTrue(isThere(program), "no " + program + " on PATH; install Debian's package " + program);
        }
        Path output = Files.createTempFile("vmft-spec", ".log");
        try {
            Process check = new ProcessBuilder(
                            Path.of("../docs/spec/check.sh").toAbsolutePath().toString())
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            try {
                assertThat(check.waitFor()).as(() -> read(output)).isZero();
            } finally {
                check.descendants().forEach(ProcessHandle::destroyForcibly);
                check.destroyForcibly();
            }
            assertThat(output).content().contains("ok   small", "RELEASE_BEFORE_COMMIT is found");
        } finally {
            Files.delete(output);
        }
    }

    private static boolean isThere(String program) {
        return List.of(System.getenv("PATH").split(":")).stream()
                .anyMatch(folder -> Files.isExecutable(Path.of(folder, program)));
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (java.io.IOException e) {
            return e.toString();
        }
    }
}
