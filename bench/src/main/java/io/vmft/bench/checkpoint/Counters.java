package io.vmft.bench.checkpoint;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

/** Ways to see from outside how far a guest's work is. */
final class Counters {
    private static final long COUNTER_PAGE = 0x200000;
    private static final long WRITES_OFFSET = 32;
    private static final int PATIENCE_SECONDS = 120;
    private static final int POLL_MILLIS = 2;
    private static final int TAIL_BYTES = 4096;

    private Counters() {}

    /** The test guest keeps its count of writes in its memory. */
    static long testGuest(Path serial, Path ram) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (System.nanoTime() < deadline) {
            try (RandomAccessFile memory = new RandomAccessFile(ram.toFile(), "r")) {
                memory.seek(COUNTER_PAGE + WRITES_OFFSET);
                long writes = Long.reverseBytes(memory.readLong());
                if (writes > 0) {
                    return writes;
                }
            }
            Thread.sleep(POLL_MILLIS);
        }
        throw new IOException("the test guest does not run: " + serial);
    }

    /** Linux's {@code work} program prints a line {@code work COUNT} ten times a second; waits for a new one, so as to read it fresh. */
    static long linuxWork(Path serial, Path ram) throws IOException, InterruptedException {
        long before = Files.exists(serial) ? Files.size(serial) : 0;
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
        while (System.nanoTime() < deadline) {
            if (Files.exists(serial) && Files.size(serial) > before) {
                long count = lastCount(serial);
                if (count > 0) {
                    return count;
                }
            }
            Thread.sleep(POLL_MILLIS);
        }
        throw new IOException("the guest's work program says nothing on " + serial + " (RAM in " + ram + ")");
    }

    private static long lastCount(Path serial) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(serial.toFile(), "r")) {
            file.seek(Math.max(0, file.length() - TAIL_BYTES));
            byte[] tail = new byte[TAIL_BYTES];
            int length = file.read(tail);
            if (length <= 0) {
                return 0;
            }
            String[] lines = new String(tail, 0, length, StandardCharsets.ISO_8859_1).split("\n", -1);
            // The last one may not be whole yet.
            for (int i = lines.length - 2; i >= 0; i--) {
                String line = lines[i].strip();
                if (line.startsWith("work ")) {
                    return Long.parseLong(line.substring(5));
                }
            }
            return 0;
        }
    }
}
