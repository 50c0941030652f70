package io.vmft.nbd.client.session;

import io.netty.buffer.ByteBuf;
import io.netty.channel.EventLoop;
import io.netty.util.concurrent.ScheduledFuture;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.Extent;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdDisconnectedException;
import io.vmft.nbd.client.NbdExport;
import io.vmft.nbd.client.NbdRefusedException;
import io.vmft.nbd.client.NbdRequestException;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Ranges;
import io.vmft.nbd.client.RequestFlag;
import io.vmft.nbd.client.Transport;
import io.vmft.nbd.client.Waiting;
import io.vmft.proto.nbd.NbdError;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * A client of one volume that outlives its connections and its servers. It is given every address under which the volume may be
 * served, finds the one that serves the newest generation, and when that is lost looks for it again and repeats what was not
 * answered: an application sees a pause, not an error, for as long as its patience goes. Thread-safe.
 *
 * <p>Stronger than a bare connection, requests that overlap take effect in the order of the calls of one thread; the others still
 * in any order. The promise rests on the server, which has to carry out nothing more of a connection once its successor is
 * admitted: vmft's block server does, told by the session that this client names. With others, a server that was cut off but is
 * still alive may carry out an old write late.
 *
 * <p>A write that is answered is the server's: whether it survives the loss of that server is up to what it promises. To wait
 * until it does, {@link #flush} or {@link RequestFlag#FUA}. When a virtual machine's backup takes over, the volume goes back to the last committed
 * epoch together with the machine; {@link FollowEvent.Connected#moved} says so.
 *
 * <p>A URI with a generation, {@code VOLUME@7}, stays with that: its end is a {@link FencedException}.
 */
public final class FollowingClient implements NbdClient {
    /** Operations held at most, sent or not. */
    private static final int MAX_OPEN = 2048;
    /** How long the beginning waits for endpoints that do not answer, so that an old copy is told from the newest. */
    private static final long SURVEY_MILLIS = 2000;

    /**
     * How to follow.
     *
     * @param patience how long a request waits for a server that answers
     * @param silence how long a server with generations may leave all requests unanswered before it counts as lost
     * @param options the session in it is not used
     */
    public record Settings(Duration patience, Duration silence, ConnectOptions options) {
        public static final Settings DEFAULT =
                new Settings(Duration.ofSeconds(30), Duration.ofSeconds(10), ConnectOptions.DEFAULT);

        public Settings withPatience(Duration longest) {
            return new Settings(longest, silence, options);
        }

        public Settings withOptions(ConnectOptions other) {
            return new Settings(patience, silence, other);
        }
    }

    private final List<NbdUri> endpoints;
    private final ConnectOptions options;
    private final String sessionId;
    private final Consumer<FollowEvent> listener;
    private final EventLoop loop = Transport.LOOPS.next();
    private final ReplayMachine<Request<?>> machine;
    private final long epochNanos = System.nanoTime();
    private final AtomicInteger openRequests = new AtomicInteger();
    private final CompletableFuture<FollowingClient> first = new CompletableFuture<>();
    private final CompletableFuture<IOException> ended = new CompletableFuture<>();

    // Confined to the loop.
    private final Map<Long, NbdClient> links = new HashMap<>();
    private @Nullable ScheduledFuture<?> timer;
    private @Nullable NbdClient leaving;
    private boolean closing;

    private @Nullable NbdExport candidate;

    private volatile @Nullable NbdExport export;
    private volatile String trouble = "nobody answers";
    private volatile long generation;

    private FollowingClient(List<NbdUri> endpoints, Settings settings, Consumer<FollowEvent> listener) {
        this.endpoints = endpoints;
        this.options = settings.options();
        this.listener = listener;
        this.sessionId = ConnectOptions.Session.random().id();
        this.machine = new ReplayMachine<>(
                new Machinery(),
                new ReplayMachine.Limits(
                        endpoints.size(),
                        settings.patience().toNanos(),
                        settings.silence().toNanos()),
                new Random());
    }

    /**
     * Connects. Blocks until there is a connection, for at most the patience.
     *
     * @param uris each may name several addresses; all of one volume
     * @param listener told what happens, on a thread that drives sockets: it must not block
     * @throws NbdRefusedException if no server has the export
     * @throws IOException if there is no server, one line that tells why the last one tried was none
     */
    public static FollowingClient connect(List<NbdUri> uris, Settings settings, Consumer<FollowEvent> listener)
            throws IOException {
        List<NbdUri> endpoints = endpoints(uris);
        FollowingClient client = new FollowingClient(endpoints, settings, listener);
        client.start();
        String where = uris.getFirst() + (uris.size() > 1 ? " and others: " : ": ");
        try {
            return client.first.get(settings.patience().toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            client.close();
            throw switch (Waiting.cause(e)) {
                case NbdRefusedException refused ->
                    new NbdRefusedException(refused.replyType(), where + refused.getMessage());
                case Throwable other -> new IOException(where + other.getMessage(), other);
            };
        } catch (TimeoutException e) {
            client.close();
            throw new IOException(
                    where + "no server within " + settings.patience().toSeconds() + " s: " + client.trouble, e);
        } catch (InterruptedException e) {
            client.close();
            Thread.currentThread().interrupt();
            throw new InterruptedIOException(where + "interrupted while connecting");
        }
    }

    private static List<NbdUri> endpoints(List<NbdUri> uris) {
        List<NbdUri> endpoints = uris.stream()
                .flatMap(uri -> uri.addresses().stream().map(uri::at))
                .toList();
        if (endpoints.stream().map(NbdUri::exportName).distinct().count() != 1) {
            throw new IllegalArgumentException(
                    "to follow a volume, give its servers: one or more URIs with the same export");
        }
        return endpoints;
    }

    /** Asks all endpoints which generation they serve, so that the first connection is not to an old copy. */
    private void start() {
        List<CompletableFuture<Long>> answers = endpoints.stream()
                .map(endpoint -> Discovery.find(endpoint)
                        .thenApply(found -> NbdExport.generation(found.exportName()))
                        .exceptionally(_ -> 0L)
                        .completeOnTimeout(0L, SURVEY_MILLIS, TimeUnit.MILLISECONDS))
                .toList();
        var _ = CompletableFuture.allOf(answers.toArray(CompletableFuture<?>[]::new))
                .thenRun(() -> loop.execute(() -> {
                    if (!closing) {
                        machine.start(
                                answers.stream()
                                        .mapToLong(CompletableFuture::join)
                                        .max()
                                        .orElse(0),
                                now());
                    }
                }));
    }

    private long now() {
        return System.nanoTime() - epochNanos;
    }

    /** The generation the volume has now; 0: the bare volume. */
    public long generation() {
        return generation;
    }

    /** As the newest connection found it. */
    @Override
    public NbdExport export() {
        NbdExport known = export;
        if (known == null) {
            throw new IllegalStateException("nobody has a client that is not connected");
        }
        return known;
    }

    // --- requests ---

    /** A request that is kept until it is answered. */
    private static final class Request<T> extends Operation {
        final Function<NbdClient, CompletableFuture<T>> call;
        final CompletableFuture<T> answer = new CompletableFuture<>();
        final @Nullable ByteBuf data;

        Request(
                Kind kind,
                long offset,
                long lengthBytes,
                @Nullable ByteBuf data,
                Function<NbdClient, CompletableFuture<T>> call) {
            super(kind, offset, lengthBytes);
            this.data = data;
            this.call = call;
        }

        void release() {
            if (data != null) {
                data.release();
            }
        }
    }

    private <T> CompletableFuture<T> submit(Request<T> request) {
        if (openRequests.incrementAndGet() > MAX_OPEN) {
            openRequests.decrementAndGet();
            request.release();
            request.answer.completeExceptionally(new IllegalArgumentException(MAX_OPEN + " requests wait already"));
        } else {
            var _ = request.answer.whenComplete((_, _) -> openRequests.decrementAndGet());
            loop.execute(() -> machine.submit(request, now()));
        }
        return request.answer;
    }

    @Override
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        Ranges.check(export(), offset, lengthBytes);
        Ranges.checkPayload(export(), lengthBytes);
        return submit(new Request<>(
                Operation.Kind.LOOK, offset, lengthBytes, null, client -> client.read(offset, lengthBytes)));
    }

    @Override
    public CompletableFuture<Void> write(long offset, ByteBuf data, RequestFlag... flags) {
        try {
            Ranges.check(export(), offset, data.readableBytes());
            Ranges.checkPayload(export(), data.readableBytes());
        } catch (IllegalArgumentException e) {
            data.release();
            throw e;
        }
        return submit(new Request<>(
                Operation.Kind.CHANGE,
                offset,
                data.readableBytes(),
                data,
                client -> client.write(offset, data.retainedDuplicate(), flags)));
    }

    @Override
    public CompletableFuture<Void> flush() {
        return submit(new Request<>(Operation.Kind.FLUSH, 0, 0, null, NbdClient::flush));
    }

    @Override
    public CompletableFuture<Void> trim(long offset, long lengthBytes, RequestFlag... flags) {
        return change(offset, lengthBytes, client -> client.trim(offset, lengthBytes, flags));
    }

    @Override
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes, RequestFlag... flags) {
        return change(offset, lengthBytes, client -> client.writeZeroes(offset, lengthBytes, flags));
    }

    private CompletableFuture<Void> change(
            long offset, long lengthBytes, Function<NbdClient, CompletableFuture<Void>> call) {
        Ranges.check(export(), offset, lengthBytes);
        return submit(new Request<>(Operation.Kind.CHANGE, offset, lengthBytes, null, call));
    }

    @Override
    public CompletableFuture<Void> cache(long offset, long lengthBytes) {
        Ranges.check(export(), offset, lengthBytes);
        return submit(new Request<>(
                Operation.Kind.LOOK, offset, lengthBytes, null, client -> client.cache(offset, lengthBytes)));
    }

    @Override
    public CompletableFuture<Map<String, List<Extent>>> blockStatus(
            long offset, long lengthBytes, RequestFlag... flags) {
        Ranges.check(export(), offset, lengthBytes);
        return submit(new Request<>(
                Operation.Kind.LOOK,
                offset,
                lengthBytes,
                null,
                client -> client.blockStatus(offset, lengthBytes, flags)));
    }

    // --- answers, on the loop ---

    private <T> void carryOut(long link, Request<T> request) {
        NbdClient client = links.get(link);
        if (client == null) {
            throw new IllegalStateException("link " + link + " is not there");
        }
        CompletableFuture<T> sent;
        try {
            sent = request.call.apply(client);
        } catch (IllegalArgumentException e) {
            sent = CompletableFuture.failedFuture(e); // the export may have changed
        }
        var _ = sent.whenComplete((value, failure) -> loop.execute(() -> {
            if (failure == null) {
                answered(link, request, value);
            } else {
                failed(link, request, Waiting.cause(failure));
            }
        }));
    }

    private <T> void answered(long link, Request<T> request, T value) {
        if (machine.answered(request, link, now())) {
            request.release();
            if (request.answer.complete(value)) {
                return;
            }
        }
        if (value instanceof ByteBuf nobodyTakes) {
            nobodyTakes.release();
        }
    }

    private void failed(long link, Request<?> request, Throwable failure) {
        switch (failure) {
            case NbdRequestException refusal
            when isForAnotherServer(refusal.error()) -> machine.unfit(request, link, refusal, now());
            case NbdDisconnectedException lost -> machine.lost(link, lost, now());
            default -> {
                if (machine.answered(request, link, now())) {
                    request.release();
                    request.answer.completeExceptionally(failure);
                }
            }
        }
    }

    /** EPERM of a generation's export means that it is not the primary's: what is read-only says so in its flags. */
    private boolean isForAnotherServer(NbdError error) {
        return error == NbdError.ESHUTDOWN || (error == NbdError.EPERM && generation > 0 && !export().readOnly());
    }

    // --- what the machine wants, on the loop ---

    private final class Machinery implements ReplayMachine.Driver<Request<?>> {
        @Override
        public void connect(int endpoint, long link) {
            var _ = Discovery.find(endpoints.get(endpoint))
                    .thenCompose(found -> NbdClient.connectAsync(
                            found, options.withSession(new ConnectOptions.Session(sessionId, link))))
                    .whenComplete((client, failure) -> loop.execute(() -> {
                        if (client != null) {
                            connected(link, endpoint, client);
                        } else {
                            notConnected(link, Waiting.cause(failure));
                        }
                    }));
        }

        @Override
        public void disconnect(long link) {
            NbdClient client = links.remove(link);
            if (client != null && closing) {
                leaving = client;
            } else if (client != null) {
                client.cut();
            }
        }

        @Override
        public void send(long link, Request<?> request) {
            carryOut(link, request);
        }

        @Override
        public void giveUp(Request<?> request, boolean sent, IOException reason) {
            request.release();
            request.answer.completeExceptionally(
                    sent
                            ? new NbdDisconnectedException("not answered: " + reason.getMessage(), reason)
                            : new IOException("not sent: " + reason.getMessage(), reason));
        }

        @Override
        public void wakeAt(long nanos) {
            if (timer != null) {
                timer.cancel(false);
            }
            timer = loop.schedule(() -> machine.wake(now()), Math.max(0, nanos - now()), TimeUnit.NANOSECONDS);
        }

        @Override
        public void tell(FollowEvent event) {
            switch (event) {
                case FollowEvent.Connected connected -> {
                    generation = connected.generation();
                    export = candidate;
                    first.complete(FollowingClient.this);
                }
                case FollowEvent.Ended(String reason) -> ended.complete(new IOException(reason));
                case FollowEvent.Lost(String reason) -> trouble = reason;
                case FollowEvent.Waiting(String reason) -> trouble = reason;
            }
            listener.accept(event);
        }
    }

    private void connected(long link, int endpoint, NbdClient client) {
        NbdExport found = client.export();
        String misfit = misfit(found);
        if (misfit != null) {
            client.cut();
            machine.failed(link, new IOException(misfit), false, now());
            return;
        }
        links.put(link, client);
        var _ = client.ended().thenAccept(reason -> loop.execute(() -> machine.lost(link, reason, now())));
        candidate = found;
        machine.connected(link, endpoint, NbdExport.generation(found.name()), now());
    }

    /** Why an export cannot be the one that was open before; null: it can. */
    private @Nullable String misfit(NbdExport found) {
        NbdExport before = export;
        if (before == null) {
            return null;
        }
        if (found.sizeBytes() < before.sizeBytes()) {
            return "the export has become smaller: " + found.sizeBytes() + " bytes, it had " + before.sizeBytes();
        }
        if ((before.transmissionFlags() & ~found.transmissionFlags()) != 0
                || found.maximumPayloadBytes() < before.maximumPayloadBytes()
                || !found.contexts().containsAll(before.contexts())) {
            return "the export can do less than before; start anew";
        }
        return null;
    }

    private void notConnected(long link, Throwable cause) {
        IOException reason = cause instanceof IOException io ? io : new IOException(String.valueOf(cause), cause);
        if (cause instanceof FencedException) {
            first.completeExceptionally(cause);
            machine.close(reason);
            return;
        }
        boolean refused = cause instanceof NbdRefusedException;
        machine.failed(link, reason, refused, now());
        if (refused && ended.isDone()) {
            first.completeExceptionally(cause);
        }
    }

    // --- the end ---

    @Override
    public CompletionStage<IOException> ended() {
        return ended;
    }

    @Override
    public void cut() {
        loop.execute(() -> machine.close(new IOException("the client was closed")));
    }

    @Override
    public void close() {
        CompletableFuture<Void> done = CompletableFuture.runAsync(
                () -> {
                    closing = true;
                    machine.close(new IOException("the client was closed"));
                    if (timer != null) {
                        timer.cancel(false);
                    }
                },
                loop);
        done.join();
        NbdClient last = leaving;
        if (last != null) {
            last.close();
        }
    }
}
