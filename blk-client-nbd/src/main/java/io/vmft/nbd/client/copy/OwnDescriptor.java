package io.vmft.nbd.client.copy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;

/** A read-only descriptor on a file, for calls that Java has no method for. */
final class OwnDescriptor implements AutoCloseable {
    private static final int O_RDONLY_CLOEXEC = 0x80000;

    private static final MethodHandle OPEN = function(
            "open",
            FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.JAVA_INT),
            Linker.Option.firstVariadicArg(2));
    private static final MethodHandle CLOSE =
            function("close", FunctionDescriptor.of(ValueLayout.JAVA_INT, ValueLayout.JAVA_INT));

    private final int number;

    private OwnDescriptor(int number) {
        this.number = number;
    }

    /** A function of the C library, with the types of its header. */
    @SuppressWarnings("restricted") // the C library's own functions
    static MethodHandle function(String name, FunctionDescriptor type, Linker.Option... options) {
        Linker linker = Linker.nativeLinker();
        return linker.downcallHandle(linker.defaultLookup().findOrThrow(name), type, options);
    }

    static OwnDescriptor open(Path path) throws IOException {
        int number;
        try (Arena arena = Arena.ofConfined()) {
            number = (int) OPEN.invokeExact(arena.allocateFrom(path.toString()), O_RDONLY_CLOEXEC);
        } catch (Throwable e) {
            throw new IllegalStateException("open", e);
        }
        if (number < 0) {
            throw new IOException(path + " cannot be opened");
        }
        return new OwnDescriptor(number);
    }

    int number() {
        return number;
    }

    @Override
    public void close() {
        try {
            int _ = (int) CLOSE.invokeExact(number);
        } catch (Throwable e) {
            throw new IllegalStateException("close", e);
        }
    }
}
