package io.vmft.engine.thread;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.vmft.engine.config.CpuList;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.VarHandle;
import java.util.BitSet;

/** The scheduler's calls, for the calling thread where nothing else is said. Each returns 0 or an errno. Thread-safe. */
@SuppressWarnings("restricted") // Calling C is what this class is for.
final class Scheduling {
    private static final int PRIO_PROCESS = 0;
    private static final int MASK_BYTES = CpuList.MAX_CPUS / 8;

    private static final Linker LINKER = Linker.nativeLinker();
    private static final MemoryLayout STATE = Linker.Option.captureStateLayout();
    private static final VarHandle ERRNO = STATE.varHandle(MemoryLayout.PathElement.groupElement("errno"));

    private static final FunctionDescriptor AFFINITY = FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_LONG, ADDRESS);
    private static final MethodHandle SET_AFFINITY = handle("sched_setaffinity", AFFINITY);
    private static final MethodHandle GET_AFFINITY = handle("sched_getaffinity", AFFINITY);
    private static final MethodHandle SET_PRIORITY =
            handle("setpriority", FunctionDescriptor.of(JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT));

    private Scheduling() {}

    static int setAffinity(BitSet cpus) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mask = arena.allocate(MASK_BYTES);
            byte[] bits = cpus.toByteArray();
            MemorySegment.copy(bits, 0, mask, JAVA_BYTE, 0, bits.length);
            MemorySegment state = arena.allocate(STATE);
            return errno((int) SET_AFFINITY.invokeExact(state, 0, (long) MASK_BYTES, mask), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    static BitSet affinity() {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment mask = arena.allocate(MASK_BYTES);
            MemorySegment state = arena.allocate(STATE);
            int error = errno((int) GET_AFFINITY.invokeExact(state, 0, (long) MASK_BYTES, mask), state);
            return error == 0 ? BitSet.valueOf(mask.toArray(JAVA_BYTE)) : new BitSet();
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /**
     * Sets how readily a thread runs.
     *
     * @param thread its id, which for a process's main thread is the process id; 0: the calling one
     */
    static int setNice(int thread, int nice) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment state = arena.allocate(STATE);
            return errno((int) SET_PRIORITY.invokeExact(state, PRIO_PROCESS, thread, nice), state);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static int errno(int returned, MemorySegment state) {
        return returned < 0 ? (int) ERRNO.get(state, 0L) : 0;
    }

    private static MethodHandle handle(String name, FunctionDescriptor descriptor) {
        return LINKER.downcallHandle(
                LINKER.defaultLookup().findOrThrow(name), descriptor, Linker.Option.captureCallState("errno"));
    }

    private static RuntimeException unexpected(Throwable e) {
        if (e instanceof Error error) {
            throw error;
        }
        return e instanceof RuntimeException runtime ? runtime : new IllegalStateException(e);
    }
}
