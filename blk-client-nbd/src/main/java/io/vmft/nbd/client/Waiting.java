package io.vmft.nbd.client;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** Blocks on futures and gives their failures back as what they were. */
final class Waiting {
    private Waiting() {}

    static <T> T get(CompletableFuture<T> future) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            while (cause instanceof CompletionException && cause.getCause() != null) {
                cause = cause.getCause();
            }
            switch (cause) {
                case NbdRequestException request -> throw request;
                case IOException io -> throw new IOException(io.getMessage(), io);
                case IllegalArgumentException bad -> throw new IOException(bad.getMessage(), bad);
                default -> throw new IOException("a defect: " + cause, cause);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }
}
