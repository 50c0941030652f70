package io.vmft.demo;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Runs the short commands of the system: {@code ip}, {@code cp}, {@code debugfs}, {@code e2fsck}. */
final class Command {
    private static final long LIMIT_SECONDS = 60;
    private static final String PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    /**
     * What a command left.
     *
     * @param output standard output, or both outputs if they were merged; every byte as one character
     */
    record Result(int status, String output) {
        /** The last line, which for most tools says what went wrong. */
        String lastLine() {
            String text = output.strip();
            return text.substring(text.lastIndexOf('\n') + 1);
        }
    }

    private Command() {}

    /** Runs a command that must succeed; returns what it said. */
    static String run(String... command) throws DemoException, InterruptedException {
        return feed("", command);
    }

    /** As {@link #run}, with {@code input} on its standard input. */
    static String feed(String input, String... command) throws DemoException, InterruptedException {
        Result result = execute(input, true, command);
        if (result.status() != 0) {
            throw new DemoException(String.join(" ", command) + ": " + result.lastLine());
        }
        return result.output().strip();
    }

    /** Runs a command whatever its status; {@code stderr} is dropped, so that the output is the bare data. */
    static Result data(String... command) throws DemoException, InterruptedException {
        return execute("", false, command);
    }

    /** Runs a command whatever its status, both outputs merged. */
    static Result attempt(String... command) throws DemoException, InterruptedException {
        return execute("", true, command);
    }

    private static Result execute(String input, boolean merge, String... command)
            throws DemoException, InterruptedException {
        ProcessBuilder builder = new ProcessBuilder(List.of(command)).redirectErrorStream(merge);
        if (!merge) {
            builder.redirectError(ProcessBuilder.Redirect.DISCARD);
        }
        builder.environment().merge("PATH", PATH, (given, ours) -> given + ":" + ours);
        try {
            Process process = builder.start();
            Thread guard = Thread.startVirtualThread(() -> killWhenLate(process));
            try (var stdin = process.getOutputStream()) {
                stdin.write(input.getBytes(StandardCharsets.UTF_8));
            } catch (IOException e) {
                // It ended without reading; its status and words say why.
            }
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.ISO_8859_1);
            int status = process.waitFor();
            guard.interrupt();
            return new Result(status, output);
        } catch (IOException e) {
            throw new DemoException(command[0] + " cannot be run: " + e.getMessage(), e);
        }
    }

    private static void killWhenLate(Process process) {
        try {
            if (!process.waitFor(LIMIT_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
            }
        } catch (InterruptedException e) {
            // It was in time.
        }
    }
}
