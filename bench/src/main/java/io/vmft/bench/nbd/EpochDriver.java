package io.vmft.bench.nbd;

import io.vmft.bench.Result;
import io.vmft.bench.Result.Direction;
import io.vmft.engine.blk.BlkControl;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.ArbiterReply;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.Refusal;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.HdrHistogram.Histogram;
import org.jspecify.annotations.Nullable;

/**
 * The part of an engine that a block server sees: holds a volume for a VM, protects it, and while {@link #start started} seals and
 * commits an epoch every {@value #EPOCH_MILLIS} ms through the control service. One caller at a time.
 */
final class EpochDriver implements AutoCloseable {
    static final int EPOCH_MILLIS = 25;
    private static final Duration LIMIT = Duration.ofSeconds(30);
    /**
     * So many that a JIT compiler has done with what an epoch runs, what is called once in it, too; at their pace that would take ten
     * minutes, in which the compiler takes up to a fifth of both processors from what is measured.
     */
    private static final int WARM_UP_EPOCHS = 20_000;

    private static final String VM = "bench";

    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(
            Thread.ofPlatform().daemon().name("epoch-control").factory());
    private final BlkControl control;
    private final String volume;
    private final long generation;
    private final long exportGeneration;
    private final Histogram sealMicros = new Histogram(3);
    private final Histogram commitMicros = new Histogram(3);
    private long epoch;
    private volatile boolean running;
    private volatile @Nullable RuntimeException failure;
    private @Nullable Thread thread;

    /** Opens the VM, begins to protect it and commits its first epoch: from then on the volume is protected. */
    EpochDriver(String address, String volume) throws IOException {
        this.volume = volume;
        this.control = new BlkControl(address, timer, () -> {});
        accepted(control.open(OpenRequest.newBuilder()
                        .setVm(VM)
                        .setHost("bench-a")
                        .addVolumes(volume)
                        .build())
                .join());
        ArbiterRecord record = accepted(control.beginProtect(BeginProtectRequest.newBuilder()
                        .setVm(VM)
                        .setGeneration(accepted(control.get(VM).join()).getGeneration())
                        .setBackup("bench-b")
                        .build())
                .join());
        this.generation = record.getGeneration();
        this.exportGeneration = record.getPrimaryGeneration();
        turn();
    }

    private static ArbiterRecord accepted(ArbiterReply reply) throws IOException {
        if (reply.hasRefusal()) {
            throw new IOException(
                    "the block server refused: " + reply.getRefusal().getMessage());
        }
        return reply.getRecord();
    }

    /** The name under which the VM sees its disk. */
    String export() {
        return volume + "@" + exportGeneration;
    }

    /** Seals and commits one epoch. */
    private void turn() {
        epoch++;
        long start = System.nanoTime();
        check(control.seal(VM, generation, epoch, LIMIT).join());
        long sealed = System.nanoTime();
        check(control.commit(VM, generation, epoch).join());
        sealMicros.recordValue(TimeUnit.NANOSECONDS.toMicros(sealed - start));
        commitMicros.recordValue(TimeUnit.NANOSECONDS.toMicros(System.nanoTime() - sealed));
    }

    private static void check(EpochReply reply) {
        if (reply.hasRefusal() && reply.getRefusal().getCode() != Refusal.Code.CODE_UNSPECIFIED) {
            throw new IllegalStateException(
                    "the block server refused an epoch: " + reply.getRefusal().getMessage());
        }
    }

    /** Seals and commits many epochs as fast as can be, which count for nothing: here and in the server the code is warm then. */
    void warmUp() {
        for (int i = 0; i < WARM_UP_EPOCHS; i++) {
            turn();
        }
        sealMicros.reset();
        commitMicros.reset();
    }

    void start() {
        running = true;
        thread = Thread.ofPlatform().daemon().name("epochs").start(this::run);
    }

    private void run() {
        long next = System.nanoTime();
        try {
            while (running) {
                turn();
                next = Math.max(next + TimeUnit.MILLISECONDS.toNanos(EPOCH_MILLIS), System.nanoTime());
                while (running && System.nanoTime() < next) {
                    LockSupport.parkNanos(next - System.nanoTime());
                }
            }
        } catch (CompletionException | IllegalStateException e) {
            failure = e;
        }
    }

    /**
     * Ends the last epoch.
     *
     * @throws IOException if an epoch failed: what was measured meanwhile means nothing
     */
    void stop() throws IOException, InterruptedException {
        running = false;
        Thread last = thread;
        if (last != null) {
            last.join();
        }
        RuntimeException why = failure;
        if (why != null) {
            throw new IOException("the epochs came to a halt: " + why.getMessage(), why);
        }
    }

    /** How long seals and commits took. */
    List<Result> results(String prefix) {
        return List.of(
                Result.of(prefix + "epochs", "epochs", List.of((double) epoch)),
                quantile(prefix + "seal/p50", sealMicros, 50),
                quantile(prefix + "seal/p99", sealMicros, 99),
                quantile(prefix + "commit/p50", commitMicros, 50)
                        .withTarget(Direction.LOWER_IS_BETTER, EPOCH_MILLIS * 1e3),
                quantile(prefix + "commit/p99", commitMicros, 99));
    }

    private static Result quantile(String name, Histogram histogram, double percentile) {
        return Result.of(name, "us", List.of((double) histogram.getValueAtPercentile(percentile)));
    }

    @Override
    public void close() {
        running = false;
        control.close();
        timer.shutdownNow();
    }
}
