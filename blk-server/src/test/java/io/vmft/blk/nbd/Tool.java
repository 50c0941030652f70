package io.vmft.blk.nbd;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs the independent NBD clients that judge the server. */
public final class Tool {
    private static final int MAX_SECONDS = 120;

    public record Result(int exitStatus, String output) {}

    private Tool() {}

    /** Skips the test visibly where a program is missing. */
    public static void assumeInstalled(String... programs) {
        for (String program : programs) {
            boolean found = false;
            for (String folder : System.getenv("PATH").split(File.pathSeparator, -1)) {
                found |= Files.isExecutable(Path.of(folder, program));
            }
            assumeTrue(found, program + " is not installed");
        }
    }

    public static Result run(String... command) throws IOException, InterruptedException {
        Path output = Files.createTempFile("tool", ".out");
        try {
            Process process = new ProcessBuilder(List.of(command))
                    .redirectErrorStream(true)
                    .redirectOutput(output.toFile())
                    .start();
            if (!process.waitFor(MAX_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new AssertionError(command[0] + " did not end within " + MAX_SECONDS + " s:\n"
                        + new String(Files.readAllBytes(output), StandardCharsets.UTF_8));
            }
            return new Result(process.exitValue(), new String(Files.readAllBytes(output), StandardCharsets.UTF_8));
        } finally {
            Files.delete(output);
        }
    }

    /** Runs and demands success. */
    public static String ok(String... command) throws IOException, InterruptedException {
        Result result = run(command);
        if (result.exitStatus() != 0) {
            throw new AssertionError(
                    String.join(" ", command) + " ended with " + result.exitStatus() + ":\n" + result.output());
        }
        return result.output();
    }
}
