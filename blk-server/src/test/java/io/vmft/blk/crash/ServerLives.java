package io.vmft.blk.crash;

import io.grpc.StatusRuntimeException;
import java.io.IOException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** The server that runs now, for clients that go on with the next when one was killed. Thread-safe. */
final class ServerLives {
    private static final long PATIENCE_SECONDS = 30;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private @Nullable RecordedServer server;
    private boolean over;
    private int life;

    /** A request; sent again to the next server if one dies over it. */
    interface Request<T> {
        T send(RecordedServer server) throws IOException;
    }

    void begin(RecordedServer next) {
        lock.lock();
        try {
            server = next;
            life++;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** No server follows. */
    void end() {
        lock.lock();
        try {
            over = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** The number of the server that runs now. */
    int life() {
        lock.lock();
        try {
            return life;
        } finally {
            lock.unlock();
        }
    }

    <T> T ask(Request<T> request) throws InterruptedException {
        int known = 0;
        @Nullable Exception failure = null;
        while (true) {
            RecordedServer asked;
            lock.lock();
            try {
                while (server == null || life == known) {
                    if (over) {
                        throw new AssertionError("the server is gone, and no other comes");
                    }
                    if (!changed.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                        throw new AssertionError("a request failed, and the server goes on running", failure);
                    }
                }
                asked = server;
                known = life;
            } finally {
                lock.unlock();
            }
            try {
                return request.send(asked);
            } catch (IOException | StatusRuntimeException e) {
                // It was killed, which the recorder sees too and starts the next one.
                failure = e;
            }
        }
    }
}
