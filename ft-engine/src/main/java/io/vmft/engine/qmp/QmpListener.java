package io.vmft.engine.qmp;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * The engine's end of QMP before QEMU is there: a listening unix socket. Bind it, start QEMU with a client chardev on
 * {@link #path()}, then {@link #accept}. Not thread-safe; closing removes the socket file and leaves accepted clients alone.
 */
public final class QmpListener implements AutoCloseable {
    private final Path path;
    private final ServerSocketChannel server;

    private QmpListener(Path path, ServerSocketChannel server) {
        this.path = path;
        this.server = server;
    }

    /** Listens on {@code path}, replacing a socket left there by an earlier run. */
    public static QmpListener bind(Path path) throws IOException {
        Files.deleteIfExists(path);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            server.bind(UnixDomainSocketAddress.of(path), 1);
        } catch (IOException e) {
            server.close();
            throw new IOException("cannot listen on " + path + ": " + e.getMessage(), e);
        }
        return new QmpListener(path, server);
    }

    public Path path() {
        return path;
    }

    /**
     * Waits for QEMU to connect, greets it, and returns a client ready for commands.
     *
     * @param vm names threads and messages
     * @param qemuExited completes, in any way, when QEMU has ended: then waiting has no sense
     * @param events called for every event, on the client's reader thread: must not block
     * @throws QmpClosedException if QEMU ended or did not connect and greet within {@code timeout}
     */
    public QmpClient accept(
            String vm, CompletionStage<?> qemuExited, Consumer<? super QmpEvent> events, Duration timeout)
            throws IOException, InterruptedException {
        long deadlineNanos = System.nanoTime() + timeout.toNanos();
        QmpClient client = QmpClient.start(vm, connection(vm, qemuExited, timeout), events);
        Duration rest = Duration.ofNanos(Math.max(1, deadlineNanos - System.nanoTime()));
        try {
            client.negotiate(rest);
        } catch (IOException | InterruptedException | RuntimeException e) {
            client.close();
            throw e;
        }
        return client;
    }

    private SocketChannel connection(String vm, CompletionStage<?> qemuExited, Duration timeout)
            throws IOException, InterruptedException {
        long deadlineNanos = System.nanoTime() + timeout.toNanos();
        AtomicBoolean exited = new AtomicBoolean();
        try (Selector selector = Selector.open()) {
            qemuExited.whenComplete((exit, failure) -> {
                exited.set(true);
                selector.wakeup();
            });
            server.configureBlocking(false);
            server.register(selector, SelectionKey.OP_ACCEPT);
            while (true) {
                SocketChannel connection = server.accept();
                if (connection != null) {
                    return connection;
                }
                long restMillis = (deadlineNanos - System.nanoTime()) / 1_000_000;
                if (exited.get()) {
                    throw new QmpClosedException(vm + ": QEMU ended before it connected to " + path);
                }
                if (restMillis <= 0) {
                    throw new QmpClosedException(
                            vm + ": QEMU did not connect to " + path + " within " + timeout.toMillis() + " ms");
                }
                if (Thread.interrupted()) {
                    throw new InterruptedException();
                }
                selector.select(restMillis);
            }
        }
    }

    @Override
    public void close() throws IOException {
        server.close();
        Files.deleteIfExists(path);
    }
}
