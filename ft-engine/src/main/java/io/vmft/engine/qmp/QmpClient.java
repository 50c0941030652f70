package io.vmft.engine.qmp;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.time.Duration;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One QMP connection. Thread-safe; commands may be sent while others wait for their answers. QEMU answers them in order, so they carry no
 * {@code id}: it looks at what comes byte by byte, and a guest waits for it.
 *
 * <p>A platform thread {@code qmp-VM} reads. Futures complete and event listeners run on it, so neither may block, and the
 * blocking calls must not be made from them. When the connection ends every waiting command fails with
 * {@link QmpClosedException} and {@link #closed()} completes.
 */
public final class QmpClient implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(QmpClient.class);
    private static final ObjectMapper JSON = new ObjectMapper();

    private record Pending(String command, CompletableFuture<JsonNode> answer) {}

    private record Expectation(String event, CompletableFuture<QmpEvent> seen) {}

    private final String vm;
    private final SocketChannel channel;
    private final Consumer<? super QmpEvent> events;
    /** In the order sent, which is that of the answers. Added to under {@link #writing}. */
    private final Queue<Pending> pending = new ConcurrentLinkedQueue<>();

    private final CopyOnWriteArrayList<Expectation> expectations = new CopyOnWriteArrayList<>();
    private final ReentrantLock writing = new ReentrantLock();
    private final CompletableFuture<JsonNode> greeting = new CompletableFuture<>();
    private final CompletableFuture<QmpClosedException> closed = new CompletableFuture<>();

    private QmpClient(String vm, SocketChannel channel, Consumer<? super QmpEvent> events) {
        this.vm = vm;
        this.channel = channel;
        this.events = events;
    }

    static QmpClient start(String vm, SocketChannel channel, Consumer<? super QmpEvent> events) {
        QmpClient client = new QmpClient(vm, channel, events);
        Thread.ofPlatform().name("qmp-" + vm).daemon().start(client::readLoop);
        return client;
    }

    /** Waits for the greeting and leaves negotiation mode. */
    void negotiate(Duration timeout) throws IOException, InterruptedException {
        await("greeting", greeting, timeout);
        call("qmp_capabilities", null, timeout);
    }

    /** A new, empty set of arguments. */
    public static ObjectNode arguments() {
        return JsonNodeFactory.instance.objectNode();
    }

    /**
     * Sends a command. Returns when it was handed to the operating system.
     *
     * @param arguments absent for none; not kept
     * @return the answer's {@code return} member; fails with {@link QmpException} if QEMU refuses, with
     *     {@link QmpClosedException} if the connection ends first
     */
    public CompletableFuture<JsonNode> execute(String command, @Nullable ObjectNode arguments) {
        ObjectNode message = arguments().put("execute", command);
        if (arguments != null) {
            message.set("arguments", arguments);
        }
        Pending entry = new Pending(command, new CompletableFuture<>());
        try {
            send(JSON.writeValueAsBytes(message), entry);
        } catch (IOException e) {
            end("cannot write to QEMU: " + e.getMessage(), e);
        }
        QmpClosedException reason = closed.getNow(null);
        if (reason != null) {
            pending.remove(entry);
            entry.answer.completeExceptionally(reason);
        }
        return entry.answer;
    }

    /** Sends a command without arguments. */
    public CompletableFuture<JsonNode> execute(String command) {
        return execute(command, null);
    }

    /**
     * Sends a command and waits for its answer.
     *
     * @throws QmpException if QEMU refuses it
     * @throws QmpClosedException if the connection ends, or the answer does not come in time: then the command may or may not
     *     take effect, and this client goes on
     */
    public JsonNode call(String command, @Nullable ObjectNode arguments, Duration timeout)
            throws IOException, InterruptedException {
        return await(command, execute(command, arguments), timeout);
    }

    /**
     * Runs a command of QEMU's human monitor.
     *
     * @return what it prints
     */
    public CompletableFuture<String> humanMonitor(String line) {
        return execute("human-monitor-command", arguments().put("command-line", line))
                .thenApply(JsonNode::asText);
    }

    /**
     * The next event of this name. Call it before the command that causes the event. Fails with {@link QmpClosedException} if
     * the connection ends; cancelling it ends the wait.
     */
    public CompletableFuture<QmpEvent> nextEvent(String name) {
        CompletableFuture<QmpEvent> seen = new CompletableFuture<>();
        Expectation expectation = new Expectation(name, seen);
        expectations.add(expectation);
        QmpClosedException reason = closed.getNow(null);
        if (reason != null) {
            seen.completeExceptionally(reason);
        }
        var _ = seen.whenComplete((event, failure) -> expectations.remove(expectation));
        return seen;
    }

    /** Completes with the reason when the connection has ended. */
    public CompletableFuture<QmpClosedException> closed() {
        return closed.copy();
    }

    /** Whether the connection has ended. */
    public boolean isClosed() {
        return closed.isDone();
    }

    /** Ends the connection; QEMU goes on. Idempotent. */
    @Override
    public void close() {
        end("closed by the engine", null);
    }

    private void send(byte[] message, Pending entry) throws IOException {
        ByteBuffer line = ByteBuffer.allocate(message.length + 1)
                .put(message)
                .put((byte) '\n')
                .flip();
        writing.lock();
        try {
            pending.add(entry);
            while (line.hasRemaining()) {
                channel.write(line);
            }
        } finally {
            writing.unlock();
        }
    }

    private <T> T await(String what, CompletableFuture<T> answer, Duration timeout)
            throws IOException, InterruptedException {
        try {
            return answer.get(timeout.toNanos(), TimeUnit.NANOSECONDS);
        } catch (TimeoutException e) {
            throw new QmpClosedException(
                    vm + ": QEMU did not answer " + what + " within " + timeout.toMillis() + " ms", e);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case QmpException refused ->
                    throw new QmpException(refused.command(), refused.errorClass(), refused.description());
                case QmpClosedException gone -> throw new QmpClosedException(String.valueOf(gone.getMessage()), gone);
                case null, default -> throw new IOException(vm + ": " + what + " failed", e);
            }
        }
    }

    private void readLoop() {
        QmpLines lines = new QmpLines();
        try {
            for (byte[] line = lines.next(channel); line != null; line = lines.next(channel)) {
                dispatch(JSON.readTree(line));
            }
            end("QEMU closed the connection", null);
        } catch (ClosedChannelException e) {
            end("closed by the engine", e);
        } catch (IOException | RuntimeException e) {
            end(String.valueOf(e.getMessage()), e);
        }
    }

    private void dispatch(JsonNode message) {
        if (message.has("event")) {
            dispatchEvent(QmpEvent.of(message));
        } else if (message.has("QMP")) {
            greeting.complete(message.path("QMP"));
        } else {
            JsonNode error = message.path("error");
            Pending entry = message.has("return") || message.has("error") ? pending.poll() : null;
            if (entry == null) {
                LOG.warn("{}: QEMU answered what was not asked: {}", vm, message);
            } else if (error.isMissingNode()) {
                entry.answer.complete(message.path("return"));
            } else {
                entry.answer.completeExceptionally(new QmpException(
                        entry.command,
                        error.path("class").asText(),
                        error.path("desc").asText()));
            }
        }
    }

    private void dispatchEvent(QmpEvent event) {
        for (Expectation expectation : expectations) {
            if (expectation.event.equals(event.name())) {
                expectation.seen.complete(event);
            }
        }
        try {
            events.accept(event);
        } catch (RuntimeException e) {
            LOG.error("{}: the listener of QMP event {} failed", vm, event.name(), e);
        }
    }

    private void end(String reason, @Nullable Throwable cause) {
        String message = vm + ": QMP: " + reason;
        QmpClosedException closure =
                cause == null ? new QmpClosedException(message) : new QmpClosedException(message, cause);
        boolean first = closed.complete(closure);
        try {
            channel.close();
        } catch (IOException e) {
            LOG.debug("{}: closing the QMP socket", vm, e);
        }
        if (!first) {
            return;
        }
        greeting.completeExceptionally(closure);
        for (Pending entry = pending.poll(); entry != null; entry = pending.poll()) {
            entry.answer.completeExceptionally(closure);
        }
        expectations.forEach(expectation -> expectation.seen.completeExceptionally(closure));
    }
}
