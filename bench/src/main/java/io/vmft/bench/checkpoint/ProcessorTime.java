package io.vmft.bench.checkpoint;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/** What vmft's processes and their QEMUs have used of the processors, but for what guests did with theirs. */
final class ProcessorTime {
    /** QEMU's threads that are a guest's processors are called {@code CPU 0/TCG} and so on. */
    private static final String GUEST_PROCESSOR = "CPU ";

    private ProcessorTime() {}

    /** Nanoseconds, so far, of these processes and of those they started; of threads that live. */
    static long besideGuests(List<OwnProcess> processes) throws IOException {
        List<ProcessHandle> all = processes.stream()
                .map(OwnProcess::handle)
                .flatMap(each -> Stream.concat(Stream.of(each), each.descendants()))
                .toList();
        long nanos = 0;
        for (ProcessHandle each : all) {
            nanos += ofProcess(each.pid());
        }
        return nanos;
    }

    private static long ofProcess(long pid) throws IOException {
        long nanos = 0;
        try (DirectoryStream<Path> threads = Files.newDirectoryStream(Path.of("/proc/" + pid + "/task"))) {
            for (Path thread : threads) {
                nanos += ofThread(thread);
            }
        } catch (NoSuchFileException _) {
            // It has ended.
        }
        return nanos;
    }

    private static long ofThread(Path thread) throws IOException {
        try {
            if (Files.readString(thread.resolve("comm"), StandardCharsets.UTF_8).startsWith(GUEST_PROCESSOR)) {
                return 0;
            }
            String times = Files.readString(thread.resolve("schedstat"), StandardCharsets.UTF_8);
            return Long.parseLong(times.substring(0, times.indexOf(' ')));
        } catch (IOException _) {
            return 0; // it has ended, which a file that is open already says in another way
        }
    }
}
