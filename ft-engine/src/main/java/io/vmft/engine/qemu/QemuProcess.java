package io.vmft.engine.qemu;

import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A running QEMU. Thread-safe.
 *
 * <p>Linux ties a parent-death signal to the thread that forked. So a platform thread {@code qemu-VM} starts QEMU and stays
 * until it has ended: the signal comes when the engine dies, and not before.
 */
public final class QemuProcess {
    private static final Logger LOG = LoggerFactory.getLogger(QemuProcess.class);
    private static final int MAX_LINES = 50;
    private static final int MAX_LINE_BYTES = 1_000;
    /** A helper that QEMU leaves behind may hold its output open for ever; a backup waits to hear that QEMU is gone. */
    private static final Duration LAST_WORDS = Duration.ofMillis(500);

    private final String vm;
    private final List<String> commandLine;
    private final Process process;
    private final Deque<String> lastLines = new ArrayDeque<>();
    private final CompletableFuture<QemuExit> exited = new CompletableFuture<>();

    private QemuProcess(String vm, List<String> commandLine, Process process) {
        this.vm = vm;
        this.commandLine = List.copyOf(commandLine);
        this.process = process;
    }

    /**
     * Starts QEMU with nothing on stdin. What it writes is logged and its end is kept.
     *
     * @param environment added to the engine's own, for example {@code LD_PRELOAD}
     * @throws QemuException if the binary cannot be executed
     */
    public static QemuProcess start(String vm, List<String> commandLine, Map<String, String> environment)
            throws QemuException, InterruptedException {
        CompletableFuture<QemuProcess> started = new CompletableFuture<>();
        Thread.ofPlatform().name("qemu-" + vm).daemon().start(() -> guard(vm, commandLine, environment, started));
        try {
            return started.get();
        } catch (InterruptedException e) {
            // Nobody would know of it, and the next one would find its files in use.
            started.thenCompose(late -> {
                        late.kill();
                        return late.exited();
                    })
                    .handle((gone, failure) -> null)
                    .join();
            throw e;
        } catch (ExecutionException e) {
            Throwable cause = e.getCause();
            String reason = cause == null ? "" : String.valueOf(cause.getMessage());
            throw new QemuException(vm + ": cannot start QEMU: " + reason + "; install it or set the key qemu", cause);
        }
    }

    /** The binary and its arguments, as it was started. */
    public List<String> commandLine() {
        return commandLine;
    }

    public long pid() {
        return process.pid();
    }

    public boolean isAlive() {
        return process.isAlive();
    }

    /**
     * Completes when QEMU has ended, with what it wrote: all of it, unless something that it started holds its output open for half a second more.
     * Dependents run on the thread {@code qemu-VM}.
     */
    public CompletableFuture<QemuExit> exited() {
        return exited.copy();
    }

    /** What QEMU wrote last, oldest line first. */
    public List<String> lastLines() {
        synchronized (lastLines) {
            return new ArrayList<>(lastLines);
        }
    }

    /** Sends SIGKILL. Returns at once; {@link #exited()} tells when it took effect. Idempotent. */
    public void kill() {
        process.destroyForcibly();
    }

    /** Sends SIGKILL and waits until QEMU is gone. */
    public QemuExit killAndWait() throws InterruptedException {
        kill();
        try {
            return exited.get();
        } catch (ExecutionException e) {
            throw new IllegalStateException("exited never fails", e);
        }
    }

    private static void guard(
            String vm,
            List<String> commandLine,
            Map<String, String> environment,
            CompletableFuture<QemuProcess> started) {
        QemuProcess qemu;
        try {
            ProcessBuilder builder = new ProcessBuilder(commandLine).redirectErrorStream(true);
            builder.environment().putAll(environment);
            Process process = builder.start();
            process.getOutputStream().close();
            qemu = new QemuProcess(vm, commandLine, process);
        } catch (IOException | RuntimeException e) {
            started.completeExceptionally(e);
            return;
        }
        LOG.debug("{}: started pid {}: {}", vm, qemu.pid(), commandLine);
        started.complete(qemu);
        Thread output =
                Thread.ofPlatform().daemon().name("qemu-" + vm + "-output").start(qemu::readUntilEnd);
        int status = qemu.status();
        qemu.awaitLastWords(output);
        qemu.exited.complete(new QemuExit(status, qemu.lastLines()));
    }

    private void awaitLastWords(Thread output) {
        try {
            if (!output.join(LAST_WORDS)) {
                LOG.warn("{}: QEMU is gone, but something that it started still holds its output", vm);
            }
        } catch (InterruptedException e) {
            LOG.debug("{}: nobody interrupts this thread", vm, e);
        }
    }

    private void readUntilEnd() {
        try (InputStream in = new BufferedInputStream(process.getInputStream())) {
            byte[] line = new byte[MAX_LINE_BYTES];
            int length = 0;
            for (int b = in.read(); b >= 0; b = in.read()) {
                if (b == '\n') {
                    keep(line, length);
                    length = 0;
                } else if (b != '\r' && length < line.length) {
                    line[length++] = (byte) b;
                }
            }
            keep(line, length);
        } catch (IOException e) {
            LOG.debug("{}: reading QEMU's output", vm, e);
        }
    }

    private void keep(byte[] bytes, int length) {
        if (length == 0) {
            return;
        }
        String line = new String(bytes, 0, length, StandardCharsets.UTF_8);
        LOG.debug("{}: qemu: {}", vm, line);
        synchronized (lastLines) {
            if (lastLines.size() == MAX_LINES) {
                lastLines.removeFirst();
            }
            lastLines.addLast(line);
        }
    }

    /** INVARIANT: runs on the thread that forked, and leaves only when QEMU is gone. */
    private int status() {
        while (true) {
            try {
                return process.waitFor();
            } catch (InterruptedException e) {
                LOG.debug("{}: nobody interrupts this thread; waiting on", vm, e);
            }
        }
    }
}
