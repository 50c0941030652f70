package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Coverage-guided fuzzing of the session and of what a client reads: {@value #SECONDS} seconds a target, or as many minutes as the property
 * {@code vmft.fuzz.minutes} says. What finds new ways through the code is left in {@code target/fuzz}; an input that fails, too.
 */
class NbdFuzzIT {
    private static final int SECONDS = 25;
    private static final int MAX_INPUT_BYTES = 32 << 10;

    @ParameterizedTest
    @CsvSource({"session,SessionFuzzer", "server,HostileServerFuzzer"})
    void noInputIsTooMuch(String target, String fuzzer) throws Exception {
        long minutes = Long.getLong("vmft.fuzz.minutes", 0);
        long seconds = minutes == 0 ? SECONDS : minutes * 60;
        Path work = Files.createDirectories(Path.of("target/fuzz", target));
        Path found = Files.createDirectories(work.resolve("found"));
        Path log = work.resolve("log");
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-cp",
                System.getProperty("java.class.path"),
                "-Xmx512m",
                "-XX:+UseSerialGC",
                "-XX:+EnableDynamicAgentLoading",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-Dlogback.configurationFile=" + Path.of("src/test/fuzz/logback.xml"),
                "com.code_intelligence.jazzer.Jazzer",
                "--target_class=io.vmft.blk.nbd." + fuzzer,
                "--instrumentation_includes=io.vmft.blk.nbd.Nbd*:io.vmft.blk.nbd.Re*:io.vmft.blk.nbd.S*:io.vmft.proto.nbd.**",
                "--custom_hook_includes=none.**",
                "--reproducer_path=" + work,
                "-artifact_prefix=" + work + File.separator,
                "-max_total_time=" + seconds,
                "-max_len=" + MAX_INPUT_BYTES,
                "-timeout=60",
                // A new process inherits the peak of the one that started it. -Xmx and FuzzChannel bound memory.
                "-rss_limit_mb=0",
                "-use_value_profile=1",
                found.toString(),
                FuzzCorpusTest.CORPUS.resolve(target).toString()));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(log.toFile())
                .start();
        try {
            assertThat(process.waitFor(seconds + 300, TimeUnit.SECONDS))
                    .as("ended in time; its log: %s", log)
                    .isTrue();
        } finally {
            process.destroyForcibly();
        }
        String said = Files.readString(log);
        assertThat(process.exitValue()).as("%s", failure(said, log)).isZero();
        assertThat(said).as("it ran").contains("Done ");
    }

    /** The exception first: a summary shows one line. */
    private static String failure(String said, Path log) {
        List<String> lines = new ArrayList<>(said.lines()
                .dropWhile(line -> !line.startsWith("== Java Exception"))
                .limit(40)
                .toList());
        lines.add("its log: " + log);
        return String.join("\n", lines);
    }
}
