package io.vmft.engine.monitor;

import io.vmft.engine.EngineException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.Channels;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Listens on the monitor socket. A request is one line of at most {@value #MAX_LINE} characters; the answer is one line, {@code ok …} or
 * {@code error …}. One virtual thread a connection.
 */
public final class MonitorServer implements AutoCloseable {
    static final int MAX_LINE = 1024;
    private static final int MAX_CONNECTIONS = 16;
    private static final Logger log = LoggerFactory.getLogger(MonitorServer.class);

    private final Path path;
    private final ServerSocketChannel server;
    private final Function<String, CompletableFuture<String>> commands;
    private final Semaphore places = new Semaphore(MAX_CONNECTIONS);

    private MonitorServer(Path path, ServerSocketChannel server, Function<String, CompletableFuture<String>> commands) {
        this.path = path;
        this.server = server;
        this.commands = commands;
    }

    /**
     * Listens; only this user may connect. The caller holds the VM on this host, so a socket that lies there is a dead engine's.
     *
     * @param commands a line in, the answer out; may fail with an {@link EngineException}
     */
    public static MonitorServer open(Path path, Function<String, CompletableFuture<String>> commands)
            throws IOException {
        Files.deleteIfExists(path);
        ServerSocketChannel server = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        try {
            server.bind(UnixDomainSocketAddress.of(path), MAX_CONNECTIONS);
            Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rw-------"));
        } catch (IOException e) {
            server.close();
            throw new IOException("cannot listen on " + path + ": " + e.getMessage(), e);
        }
        MonitorServer monitor = new MonitorServer(path, server, commands);
        Thread.ofVirtual().name("monitor").start(monitor::accept);
        return monitor;
    }

    private void accept() {
        while (server.isOpen()) {
            try {
                SocketChannel connection = server.accept();
                if (places.tryAcquire()) {
                    Thread.ofVirtual().name("monitor-connection").start(() -> serve(connection));
                } else {
                    connection.close();
                }
            } catch (IOException e) {
                log.debug("monitor {}: {}", path, e.getMessage());
            }
        }
    }

    private void serve(SocketChannel connection) {
        try (connection;
                BufferedReader in = new BufferedReader(
                        new InputStreamReader(Channels.newInputStream(connection), StandardCharsets.UTF_8), MAX_LINE)) {
            OutputStream out = Channels.newOutputStream(connection);
            for (String line = readLine(in); line != null; line = readLine(in)) {
                out.write((answer(line) + "\n").getBytes(StandardCharsets.UTF_8));
            }
        } catch (IOException | InterruptedException e) {
            log.debug("monitor {}: {}", path, e.getMessage());
        } finally {
            places.release();
        }
    }

    private String answer(String line) throws InterruptedException {
        try {
            return "ok " + commands.apply(line.strip()).get();
        } catch (ExecutionException e) {
            return "error "
                    + (e.getCause() instanceof EngineException known
                            ? known.getMessage()
                            : Objects.requireNonNullElse(e.getCause(), e).toString());
        }
    }

    private static @org.jspecify.annotations.Nullable String readLine(BufferedReader in) throws IOException {
        StringBuilder line = new StringBuilder();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                return null;
            }
            if (line.length() == MAX_LINE) {
                throw new IOException("a line of more than " + MAX_LINE + " characters");
            }
            line.append((char) c);
        }
        return line.toString();
    }

    @Override
    public void close() throws IOException {
        server.close();
        Files.deleteIfExists(path);
    }
}
