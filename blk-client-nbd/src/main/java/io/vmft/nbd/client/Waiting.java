package io.vmft.nbd.client;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;

/** Blocks on futures and gives their failures back as what they were. */
public final class Waiting {
    private Waiting() {}

    /**
     * Waits for an answer.
     *
     * @throws NbdRequestException if the server answered with an error
     * @throws IOException whatever else went wrong
     */
    public static <T> T get(CompletableFuture<T> future) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            switch (cause(e)) {
                case NbdRequestException request -> throw request;
                case NbdDisconnectedException lost ->
                    throw new NbdDisconnectedException(String.valueOf(lost.getMessage()), lost);
                case IOException io -> throw new IOException(io.getMessage(), io);
                case IllegalArgumentException bad -> throw new IOException(bad.getMessage(), bad);
                case Throwable defect -> throw new IOException("a defect: " + defect, defect);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException("interrupted");
        }
    }

    /** Waits for a connection; messages begin with its URI. */
    static <T> T connect(CompletableFuture<T> future, NbdUri uri) throws IOException {
        try {
            return future.get();
        } catch (ExecutionException e) {
            Throwable cause = cause(e);
            if (cause instanceof NbdRefusedException refused) {
                throw new NbdRefusedException(refused.replyType(), uri + ": " + refused.getMessage());
            }
            throw new IOException(uri + ": " + cause.getMessage(), cause);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new InterruptedIOException(uri + ": interrupted while connecting");
        }
    }

    /** What failed, without the wrappings of futures. */
    public static Throwable cause(Throwable failure) {
        Throwable cause = failure;
        while ((cause instanceof CompletionException || cause instanceof ExecutionException)
                && cause.getCause() != null) {
            cause = cause.getCause();
        }
        return Objects.requireNonNull(cause);
    }
}
