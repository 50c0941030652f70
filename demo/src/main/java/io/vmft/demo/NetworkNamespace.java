package io.vmft.demo;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;

/** Moves a thread into a named network namespace: sockets it makes from then on belong there. Source: setns(2). */
final class NetworkNamespace {
    private static final int O_RDONLY_CLOEXEC = 0x80000;
    private static final int CLONE_NEWNET = 0x40000000;

    private NetworkNamespace() {}

    /**
     * Moves the calling thread, which must be a platform thread and should end in that namespace.
     *
     * @param name as in {@code ip netns}
     */
    @SuppressWarnings("restricted") // Calling C is what this class is for.
    static void enter(String name) throws DemoException {
        if (Thread.currentThread().isVirtual()) {
            throw new IllegalStateException("a virtual thread's carrier would stay in the namespace");
        }
        Linker linker = Linker.nativeLinker();
        MethodHandle open = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("open"),
                FunctionDescriptor.of(JAVA_INT, ADDRESS, JAVA_INT),
                Linker.Option.firstVariadicArg(2));
        MethodHandle setns = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("setns"), FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT));
        MethodHandle close = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("close"), FunctionDescriptor.of(JAVA_INT, JAVA_INT));
        int status;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment path = arena.allocateFrom("/run/netns/" + name);
            int fd = (int) open.invokeExact(path, O_RDONLY_CLOEXEC);
            status = fd < 0 ? fd : (int) setns.invokeExact(fd, CLONE_NEWNET);
            if (fd >= 0) {
                int ignored = (int) close.invokeExact(fd);
            }
        } catch (Throwable e) {
            throw new IllegalStateException("setns(2) could not be called", e);
        }
        if (status != 0) {
            throw new DemoException("cannot enter network namespace " + name + "; run as root");
        }
    }
}
