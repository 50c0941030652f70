package io.vmft.blk.operator;

import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;
import java.util.function.LongConsumer;

/**
 * Makes whoever reads for an operator wait, so that no more than so many bytes a second are read, and stops it when nobody wants it
 * any more. Told of bytes before they are read. For one reader; not thread-safe.
 */
final class ReadThrottle implements LongConsumer {
    private final long bytesPerSecond;
    private final BooleanSupplier unwanted;
    private long nextNanos = System.nanoTime();

    /** Nobody wants what is read any more. */
    static final class UnwantedException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        UnwantedException() {
            super("nobody wants it any more");
        }
    }

    /** @param unwanted asked while waiting: whether nobody wants what is read any more; an interrupted thread's reading is unwanted too */
    ReadThrottle(long bytesPerSecond, BooleanSupplier unwanted) {
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
