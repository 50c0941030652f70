package io.vmft.blk.crash;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Everything that processes did to the files below one folder, in order. Written by {@code src/test/c/disktrace.c}, preloaded. */
final class DiskTrace {
    private static final int HEADER_BYTES = 32;
    private static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final Path root;
    private final Path file;

    /**
     * Names one.
     *
     * @param root the folder, which exists and is empty
     * @param file where the trace is, or will be
     */
    DiskTrace(Path root, Path file) {
        this.root = root;
        this.file = file;
    }

    /** Compiles the library, once for this module. */
    static synchronized Path library() throws IOException, InterruptedException {
        Path source = Path.of("src/test/c/disktrace.c").toAbsolutePath();
        Path made = Path.of("target/libdisktrace.so").toAbsolutePath();
        if (Files.exists(made) && Files.getLastModifiedTime(made).compareTo(Files.getLastModifiedTime(source)) > 0) {
            return made;
        }
        Path fresh = Files.createTempFile(made.getParent(), "libdisktrace", ".so");
        Process gcc = new ProcessBuilder(
                        "gcc",
                        "-shared",
                        "-fPIC",
                        "-O2",
                        "-Wall",
                        "-Wextra",
                        "-Werror",
                        "-fvisibility=hidden",
                        "-o",
                        fresh.toString(),
                        source.toString(),
                        "-ldl",
                        "-lpthread")
                .redirectErrorStream(true)
                .start();
        String said = new String(gcc.getInputStream().readAllBytes(), java.nio.charset.StandardCharsets.UTF_8);
        if (gcc.waitFor() != 0) {
            throw new IOException("gcc: " + said);
        }
        Files.move(fresh, made, java.nio.file.StandardCopyOption.ATOMIC_MOVE);
        return made;
    }

    /**
     * What a process needs in its environment to be recorded.
     *
     * @param syncMicros how long its syncs take at least
     * @param killAfter which of its changes it does not live to make; 0: it lives
     */
    Map<String, String> environment(int syncMicros, int killAfter) throws IOException, InterruptedException {
        Map<String, String> environment = new HashMap<>();
        environment.put("LD_PRELOAD", library() + preloadedElse());
        environment.put("VMFT_TRACE_ROOT", root.toRealPath().toString());
        environment.put("VMFT_TRACE_FILE", file.toAbsolutePath().toString());
        environment.put("VMFT_TRACE_SYNC_MICROS", Integer.toString(syncMicros));
        environment.put("VMFT_TRACE_KILL_AFTER", Integer.toString(killAfter));
        return environment;
    }

    private static String preloadedElse() {
        String preloaded = System.getenv("LD_PRELOAD");
        return preloaded == null ? "" : File.pathSeparator + preloaded;
    }

    Path root() {
        return root;
    }

    /** How long it is now. What returned before this call is in it up to there. */
    long position() {
        try {
            return Files.exists(file) ? Files.size(file) : 0;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** All of it, or what follows {@code from}; the records' memory belongs to {@code arena}. */
    List<TraceRecord> read(long from, Arena arena) throws IOException {
        MemorySegment all;
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            all = channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), arena);
        }
        List<TraceRecord> records = new ArrayList<>();
        TraceRecord.Kind[] kinds = TraceRecord.Kind.values();
        for (long at = from; at < all.byteSize(); ) {
            long bytes = Integer.toUnsignedLong(all.get(U32, at + 4));
            records.add(new TraceRecord(
                    kinds[all.get(U32, at) - 1],
                    at + HEADER_BYTES + bytes,
                    all.get(I64, at + 8),
                    all.get(I64, at + 16),
                    all.get(I64, at + 24),
                    all.asSlice(at + HEADER_BYTES, bytes)));
            at += HEADER_BYTES + bytes;
        }
        return records;
    }
}
