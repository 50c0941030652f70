package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdHeaders;
import io.vmft.proto.nbd.NbdRequest;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.LongFunction;

/** Connections to one export that share the requests, in turn. When one ends, all do: what is not answered fails. Thread-safe. */
final class ConnectionGroup implements NbdClient {
    /** Requests one client holds at most, sent or not. */
    private static final int MAX_WAITING = 4096;
    /** Without extended headers longer ranges go in pieces: far from 4 GiB, and a multiple of every block size. */
    private static final long PIECE_BYTES = 1L << 30;

    private final List<Connection> connections;
    private final NbdExport export;
    private final AtomicInteger turn = new AtomicInteger();
    private final AtomicInteger waiting = new AtomicInteger();
    private final CompletableFuture<IOException> ended = new CompletableFuture<>();

    private ConnectionGroup(List<Connection> connections) {
        this.connections = List.copyOf(connections);
        this.export = connections.getFirst().export();
        for (Connection connection : connections) {
            var _ = connection.ended().thenAccept(reason -> {
                ended.complete(reason);
                connections.forEach(Connection::cut);
            });
        }
    }

    /** The first connection tells whether there may be more. */
    static CompletableFuture<ConnectionGroup> open(NbdUri uri, ConnectOptions options) {
        return Connection.open(uri, options).thenCompose(first -> {
            if (options.connections() == 1 || !first.export().has(Nbd.FLAG_CAN_MULTI_CONN)) {
                return CompletableFuture.completedFuture(new ConnectionGroup(List.of(first)));
            }
            List<CompletableFuture<Connection>> opening =
                    new ArrayList<>(List.of(CompletableFuture.completedFuture(first)));
            for (int i = 1; i < options.connections(); i++) {
                opening.add(Connection.open(uri, options));
            }
            return CompletableFuture.allOf(opening.toArray(CompletableFuture<?>[]::new))
                    .handle((_, failure) -> {
                        if (failure == null) {
                            return opening.stream().map(CompletableFuture::join).toList();
                        }
                        opening.forEach(each -> each.thenAccept(Connection::cut));
                        throw new java.util.concurrent.CompletionException(Waiting.cause(failure));
                    })
                    .thenApply(ConnectionGroup::new);
        });
    }

    @Override
    public NbdExport export() {
        return export;
    }

    @Override
    public CompletableFuture<ByteBuf> read(long offset, int lengthBytes) {
        Ranges.check(export, offset, lengthBytes);
        Ranges.checkPayload(export, lengthBytes);
        CompletableFuture<ByteBuf> answer = new CompletableFuture<>();
        if (admit(answer)) {
            submit(cookie -> new PendingRead(new NbdRequest.Read(cookie, offset, lengthBytes, false), answer));
        }
        return answer;
    }

    @Override
    public CompletableFuture<Void> write(long offset, ByteBuf data, RequestFlag... flags) {
        boolean fua;
        try {
            Ranges.check(export, offset, data.readableBytes());
            Ranges.checkPayload(export, data.readableBytes());
            fua = only(flags, RequestFlag.FUA).contains(RequestFlag.FUA);
        } catch (IllegalArgumentException e) {
            data.release();
            throw e;
        }
        CompletableFuture<Void> answer = new CompletableFuture<>();
        if (admit(answer)) {
            submit(cookie -> new PendingChange(new NbdRequest.Write(cookie, offset, data, fua), answer));
        } else {
            data.release();
        }
        return answer;
    }

    @Override
    public CompletableFuture<Void> flush() {
        return change(NbdRequest.Flush::new);
    }

    @Override
    public CompletableFuture<Void> trim(long offset, long lengthBytes, RequestFlag... flags) {
        boolean fua = only(flags, RequestFlag.FUA).contains(RequestFlag.FUA);
        return inPieces(
                offset, lengthBytes, (at, piece) -> change(cookie -> new NbdRequest.Trim(cookie, at, piece, fua)));
    }

    @Override
    public CompletableFuture<Void> writeZeroes(long offset, long lengthBytes, RequestFlag... flags) {
        Set<RequestFlag> set = only(flags, RequestFlag.FUA, RequestFlag.NO_HOLE, RequestFlag.FAST_ZERO);
        return inPieces(
                offset,
                lengthBytes,
                (at, piece) -> change(cookie -> new NbdRequest.WriteZeroes(
                        cookie,
                        at,
                        piece,
                        set.contains(RequestFlag.NO_HOLE),
                        set.contains(RequestFlag.FAST_ZERO),
                        set.contains(RequestFlag.FUA))));
    }

    @Override
    public CompletableFuture<Void> cache(long offset, long lengthBytes) {
        return inPieces(offset, lengthBytes, (at, piece) -> change(cookie -> new NbdRequest.Cache(cookie, at, piece)));
    }

    @Override
    public CompletableFuture<Map<String, List<Extent>>> blockStatus(
            long offset, long lengthBytes, RequestFlag... flags) {
        Ranges.check(export, offset, lengthBytes);
        boolean one = only(flags, RequestFlag.ONE_EXTENT).contains(RequestFlag.ONE_EXTENT);
        if (export.contexts().isEmpty() || lengthBytes == 0) {
            throw new IllegalArgumentException(
                    lengthBytes == 0 ? "there is no status of 0 bytes" : "no metadata context was negotiated");
        }
        long most = export.headers() == NbdHeaders.EXTENDED ? lengthBytes : Math.min(lengthBytes, PIECE_BYTES);
        CompletableFuture<Map<String, List<Extent>>> answer = new CompletableFuture<>();
        if (admit(answer)) {
            Connection connection = next();
            connection.submit(cookie -> new PendingStatus(
                    new NbdRequest.BlockStatus(cookie, offset, most, one), connection.contexts(), answer));
        }
        return answer;
    }

    private static Set<RequestFlag> only(RequestFlag[] flags, RequestFlag... allowed) {
        if (flags.length == 0) {
            return Set.of();
        }
        EnumSet<RequestFlag> set = EnumSet.copyOf(Arrays.asList(flags));
        if (!List.of(allowed).containsAll(set)) {
            throw new IllegalArgumentException(set + ": allowed here are " + Arrays.toString(allowed));
        }
        return set;
    }

    @FunctionalInterface
    private interface Piece {
        CompletableFuture<Void> send(long offset, long lengthBytes);
    }

    private CompletableFuture<Void> inPieces(long offset, long lengthBytes, Piece piece) {
        Ranges.check(export, offset, lengthBytes);
        if (export.headers() == NbdHeaders.EXTENDED || lengthBytes <= PIECE_BYTES) {
            return piece.send(offset, lengthBytes);
        }
        // One after the other: a volume has more of them than may wait.
        return piece.send(offset, PIECE_BYTES)
                .thenCompose(_ -> inPieces(offset + PIECE_BYTES, lengthBytes - PIECE_BYTES, piece));
    }

    private CompletableFuture<Void> change(LongFunction<NbdRequest> request) {
        CompletableFuture<Void> answer = new CompletableFuture<>();
        if (admit(answer)) {
            submit(cookie -> new PendingChange(request.apply(cookie), answer));
        }
        return answer;
    }

    private boolean admit(CompletableFuture<?> answer) {
        if (waiting.incrementAndGet() > MAX_WAITING) {
            waiting.decrementAndGet();
            answer.completeExceptionally(new IllegalArgumentException(MAX_WAITING + " requests wait already"));
            return false;
        }
        var _ = answer.whenComplete((_, _) -> waiting.decrementAndGet());
        return true;
    }

    private void submit(LongFunction<PendingRequest> request) {
        next().submit(request);
    }

    private Connection next() {
        return connections.size() == 1
                ? connections.getFirst()
                : connections.get(Math.floorMod(turn.getAndIncrement(), connections.size()));
    }

    @Override
    public CompletionStage<IOException> ended() {
        return ended;
    }

    @Override
    public void close() {
        connections.forEach(Connection::leave);
        connections.forEach(Connection::awaitEnd);
    }

    @Override
    public void cut() {
        connections.forEach(Connection::cut);
    }
}
