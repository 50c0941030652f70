package io.vmft.nbd.client.cli;

import java.io.PrintWriter;
import java.util.function.LongConsumer;

/** A line that renews itself: {@code [=====>    ]  53 %  1.1 GiB of 2.0 GiB, 812 MB/s}. */
final class ProgressBar implements LongConsumer {
    private static final int WIDTH = 30;

    private final long sizeBytes;
    private final PrintWriter out;
    private final long startNanos = System.nanoTime();

    ProgressBar(long sizeBytes, PrintWriter out) {
        this.sizeBytes = sizeBytes;
        this.out = out;
    }

    @Override
    public void accept(long doneBytes) {
        out.print("\r" + line(sizeBytes, doneBytes, System.nanoTime() - startNanos));
        if (doneBytes == sizeBytes) {
            out.println();
        }
        out.flush();
    }

    static String line(long sizeBytes, long doneBytes, long nanos) {
        double part = sizeBytes == 0 ? 1 : (double) doneBytes / sizeBytes;
        int filled = (int) (part * WIDTH);
        String bar = "=".repeat(filled) + (filled == WIDTH ? "" : ">" + " ".repeat(WIDTH - 1 - filled));
        return "[%s] %3d %%  %s of %s, %.0f MB/s "
                .formatted(
                        bar,
                        (int) (part * 100),
                        ByteCount.describe(doneBytes),
                        ByteCount.describe(sizeBytes),
                        doneBytes * 1e3 / Math.max(1, nanos));
    }
}
