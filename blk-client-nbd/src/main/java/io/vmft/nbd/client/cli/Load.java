package io.vmft.nbd.client.cli;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.Waiting;
import java.io.IOException;
import java.time.Duration;
import java.util.Locale;
import java.util.SplittableRandom;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Phaser;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.Recorder;
import org.jspecify.annotations.Nullable;

/** A number of requests always under way: each answer sends the next. Used once. */
final class Load {
    enum Pattern {
        READ,
        WRITE,
        RANDREAD,
        RANDWRITE,
        /** Half reads, half writes. */
        RANDRW;

        boolean writes() {
            return this != READ && this != RANDREAD;
        }

        boolean random() {
            return this != READ && this != WRITE;
        }

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** What came of it. */
    record Outcome(Histogram latencyNanos, double seconds) {}

    private static final long LONGEST_NANOS = Duration.ofHours(1).toNanos();

    private final NbdClient client;
    private final Pattern pattern;
    private final int blockBytes;
    private final int depth;
    private final long blocks;
    private final ByteBuf data;
    private final AtomicLong next = new AtomicLong();
    private final Recorder latency = new Recorder(LONGEST_NANOS, 3);
    private final Phaser underWay = new Phaser(1);
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private volatile long endNanos;

    Load(NbdClient client, Pattern pattern, int blockBytes, int depth) {
        this.client = client;
        this.pattern = pattern;
        this.blockBytes = blockBytes;
        this.depth = depth;
        this.blocks = client.export().sizeBytes() / blockBytes;
        byte[] bytes = new byte[blockBytes];
        new SplittableRandom(1).nextBytes(bytes);
        this.data =
                Unpooled.unreleasableBuffer(Unpooled.directBuffer(blockBytes).writeBytes(bytes));
    }

    Outcome run(Duration duration) throws IOException {
        long start = System.nanoTime();
        endNanos = start + duration.toNanos();
        for (int i = 0; i < depth; i++) {
            underWay.register();
            send();
        }
        underWay.arriveAndAwaitAdvance();
        Throwable cause = failure.get();
        if (cause != null) {
            throw cause instanceof IOException io ? io : new IOException(cause.getMessage(), cause);
        }
        return new Outcome(latency.getIntervalHistogram(), (System.nanoTime() - start) / 1e9);
    }

    private void send() {
        ThreadLocalRandom random = ThreadLocalRandom.current();
        long block = pattern.random() ? random.nextLong(blocks) : next.getAndIncrement() % blocks;
        boolean write = pattern.writes() && (pattern != Pattern.RANDRW || random.nextBoolean());
        long sent = System.nanoTime();
        CompletableFuture<?> answer = write
                ? client.write(block * blockBytes, data.retainedDuplicate())
                : client.read(block * blockBytes, blockBytes).thenAccept(ByteBuf::release);
        var _ = answer.whenComplete((_, failed) -> answered(sent, failed));
    }

    private void answered(long sentNanos, @Nullable Throwable failed) {
        long now = System.nanoTime();
        if (failed == null) {
            latency.recordValue(Math.min(now - sentNanos, LONGEST_NANOS));
        } else {
            failure.compareAndSet(null, Waiting.cause(failed));
        }
        if (failed != null || now - endNanos >= 0 || failure.get() != null) {
            underWay.arriveAndDeregister();
        } else {
            send();
        }
    }
}
