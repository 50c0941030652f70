package io.vmft.demo;

import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/**
 * The ledger's client: one TCP connection for its whole life, one request at a time, the next as soon as the answer is there. It runs on a
 * thread of its own, in the client's network namespace. A connection that breaks is a failure, never repaired.
 */
final class LedgerClient {
    static final int PORT = 7000;
    private static final int CONNECT_MILLIS = 1000;
    private static final int ANSWER_SECONDS = 30;
    private static final int MAX_LINE_BYTES = 4096;
    private static final int MAX_DUMP_BYTES = 1 << 30;

    private final String namespace;
    private final InetSocketAddress service;
    private final Duration patience;
    private final History history = new History();
    private final CompletableFuture<Void> connected = new CompletableFuture<>();
    private final CompletableFuture<String> dumped = new CompletableFuture<>();
    private final CompletableFuture<Void> ended = new CompletableFuture<>();
    private final CountDownLatch farewell = new CountDownLatch(1);
    private volatile boolean stopping;
    private volatile @Nullable String unanswered;

    private LedgerClient(String namespace, InetSocketAddress service, Duration patience) {
        this.namespace = namespace;
        this.service = service;
        this.patience = patience;
    }

    /**
     * Starts to connect, again and again until somebody answers.
     *
     * @param patience how long the service may take to be there
     */
    static LedgerClient start(String namespace, String address, Duration patience) {
        LedgerClient client = new LedgerClient(namespace, new InetSocketAddress(address, PORT), patience);
        Thread.ofPlatform().name("ledger-client").daemon().start(client::run);
        return client;
    }

    History history() {
        return history;
    }

    void awaitConnected() throws DemoException, InterruptedException {
        get(connected, patience.plusSeconds(1));
    }

    /** Fails if the connection broke. */
    void check() throws DemoException, InterruptedException {
        if (ended.isCompletedExceptionally()) {
            get(ended, Duration.ZERO);
        }
    }

    /** Ends the appending after the answer that is due, and reads the whole ledger back over the same connection, every byte one character. */
    String dump() throws DemoException, InterruptedException {
        stopping = true;
        return get(dumped, Duration.ofSeconds(2 * ANSWER_SECONDS));
    }

    /** After {@link #dump}: asks the guest to shut down and waits for its answer and the end of the connection. */
    void shutdown() throws DemoException, InterruptedException {
        farewell.countDown();
        get(ended, Duration.ofSeconds(2 * ANSWER_SECONDS));
    }

    /** Requests without an answer: at most one. */
    List<String> unanswered() {
        String text = unanswered;
        return text == null ? List.of() : List.of(text);
    }

    private void run() {
        try {
            NetworkNamespace.enter(namespace);
            try (Socket socket = connect()) {
                connected.complete(null);
                converse(socket.getInputStream(), socket.getOutputStream());
            }
            ended.complete(null);
        } catch (DemoException | InterruptedException | IOException | RuntimeException e) {
            DemoException failure = e instanceof DemoException known
                    ? known
                    : new DemoException(
                            "the client's connection broke after " + history.size() + " answers: " + e.getMessage(), e);
            connected.completeExceptionally(failure);
            dumped.completeExceptionally(failure);
            ended.completeExceptionally(failure);
        }
    }

    private Socket connect() throws DemoException, InterruptedException {
        long deadline = System.nanoTime() + patience.toNanos();
        while (true) {
            Socket socket = new Socket();
            try {
                socket.connect(service, CONNECT_MILLIS);
                socket.setTcpNoDelay(true);
                socket.setSoTimeout(ANSWER_SECONDS * 1000);
                return socket;
            } catch (IOException e) {
                closeQuietly(socket);
                if (System.nanoTime() > deadline) {
                    throw new DemoException(
                            "the guest's ledger does not answer on " + service.getHostString() + ":" + PORT + " after "
                                    + patience.toSeconds() + " s: " + e.getMessage(),
                            e);
                }
                Thread.sleep(50);
            }
        }
    }

    private void converse(InputStream input, OutputStream out) throws IOException, DemoException, InterruptedException {
        BufferedInputStream in = new BufferedInputStream(input);
        for (long n = 1; !stopping; n++) {
            String text = "request " + n;
            unanswered = text;
            send(out, "APPEND " + text);
            String answer = readLine(in);
            if (!answer.matches("OK \\d{1,18}")) {
                throw new DemoException("the ledger answered \"" + answer + "\"");
            }
            history.add(new History.Entry(Long.parseLong(answer.substring(3)), text, System.nanoTime()));
            unanswered = null;
        }
        send(out, "DUMP");
        String header = readLine(in);
        if (!header.matches("DUMP \\d{1,18} \\d{1,18}")) {
            throw new DemoException("the ledger answered \"" + header + "\" to DUMP");
        }
        long lengthBytes = Long.parseLong(header.substring(header.lastIndexOf(' ') + 1));
        if (lengthBytes > MAX_DUMP_BYTES) {
            throw new DemoException("the ledger says it is " + lengthBytes + " bytes long");
        }
        byte[] ledger = in.readNBytes((int) lengthBytes);
        if (ledger.length < lengthBytes) {
            throw new DemoException("the connection ended in the middle of the ledger");
        }
        dumped.complete(new String(ledger, StandardCharsets.ISO_8859_1));
        farewell.await();
        send(out, "SHUTDOWN");
        String answer = readLine(in);
        if (!answer.equals("BYE")) {
            throw new DemoException("the ledger answered \"" + answer + "\" to SHUTDOWN");
        }
    }

    private static void send(OutputStream out, String line) throws IOException {
        out.write((line + "\n").getBytes(StandardCharsets.US_ASCII));
        out.flush();
    }

    private static String readLine(InputStream in) throws IOException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        for (int c = in.read(); c != '\n'; c = in.read()) {
            if (c < 0) {
                throw new SocketException("closed by the guest");
            }
            if (line.size() == MAX_LINE_BYTES) {
                throw new SocketException("an answer longer than " + MAX_LINE_BYTES + " bytes");
            }
            line.write(c);
        }
        return line.toString(StandardCharsets.US_ASCII);
    }

    private static void closeQuietly(Socket socket) {
        try {
            socket.close();
        } catch (IOException e) {
            // It never was a connection.
        }
    }

    private static <T> T get(CompletableFuture<T> future, Duration limit) throws DemoException, InterruptedException {
        try {
            return future.get(limit.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            Throwable cause = Objects.requireNonNullElse(e.getCause(), e);
            throw new DemoException(String.valueOf(cause.getMessage()), cause);
        } catch (TimeoutException e) {
            throw new DemoException("the client waited " + limit.toSeconds() + " s in vain", e);
        }
    }
}
