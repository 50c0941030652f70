package io.vmft.engine.net;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * A network namespace that exists as long as its one thread: what is opened on that thread is in it. Nothing has a name, so
 * nothing is left behind.
 */
@SuppressWarnings("restricted") // unshare(2) is only to be had through the foreign function interface.
final class NetworkNamespace implements AutoCloseable {
    private static final int CLONE_NEWNET = 0x40000000;

    private final ExecutorService thread =
            Executors.newSingleThreadExecutor(Thread.ofPlatform().name("netns").factory());

    private NetworkNamespace() {}

    /** Makes one, or skips the test with the reason. */
    static NetworkNamespace create() throws Exception {
        assumeTrue(Files.isWritable(Path.of("/dev/net/tun")), "/dev/net/tun is not there or not writable: needs root");
        NetworkNamespace namespace = new NetworkNamespace();
        int status = namespace.call(() -> {
            Linker linker = Linker.nativeLinker();
            MethodHandle unshare = linker.downcallHandle(
                    linker.defaultLookup().findOrThrow("unshare"),
                    FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));
            try {
                return (int) unshare.invokeExact(CLONE_NEWNET);
            } catch (Throwable e) {
                throw new IllegalStateException(e);
            }
        });
        if (status != 0) {
            namespace.close();
        }
        assumeTrue(status == 0, "no network namespace can be made: needs root");
        return namespace;
    }

    /** Runs on the namespace's thread. */
    <T> T call(Callable<T> action) throws Exception {
        try {
            return thread.submit(action).get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof Exception cause) {
                throw cause;
            }
            throw e;
        }
    }

    /** Runs {@code ip} in the namespace. */
    String ip(String... arguments) throws Exception {
        return call(() -> {
            List<String> line = new ArrayList<>(List.of("ip"));
            line.addAll(List.of(arguments));
            Process process = new ProcessBuilder(line).redirectErrorStream(true).start();
            String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            if (process.waitFor() != 0) {
                throw new IllegalStateException(line + ": " + output);
            }
            return output;
        });
    }

    @Override
    public void close() {
        thread.close();
    }
}
