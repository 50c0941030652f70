package io.vmft.blk.inspect;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongConsumer;

/** Makes whoever reads wait, so that no more than so many bytes a second are read, and stops it when nobody wants it any more. */
public final class Pace implements LongConsumer {
    private final long bytesPerSecond;
    private final BooleanSupplier unwanted;
    private long nextNanos = System.nanoTime();

    /** Nobody wants it any more. */
    public static final class UnwantedException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        public UnwantedException() {
            super("nobody wants it any more");
        }
    }

    public Pace(long bytesPerSecond, BooleanSupplier unwanted) {
        this.bytesPerSecond = bytesPerSecond;
        this.unwanted = unwanted;
    }

    @Override
    public void accept(long bytes) {
        long now = System.nanoTime();
        while (now - nextNanos < 0) {
            if (unwanted.getAsBoolean() || Thread.currentThread().isInterrupted()) {
                throw new UnwantedException();
            }
            LockSupport.parkNanos(Math.min(nextNanos - now, 100_000_000));
            now = System.nanoTime();
        }
        nextNanos = now + bytes * 1_000_000_000 / bytesPerSecond;
    }
}
