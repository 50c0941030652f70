package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;

/**
 * A client of one export. Thread-safe. Requests are answered in any order; nothing orders them but waiting for the earlier one's
 * answer.
 *
 * <p>Futures complete on a thread that drives sockets, which what depends on them must not block, exceptionally with
 *
 * <ul>
 *   <li>{@link NbdRequestException} if the server answered with an error,
 *   <li>{@link NbdDisconnectedException} if the connection ended first: the outcome is unknown,
 *   <li>{@link IllegalArgumentException} if too many others wait already.
 * </ul>
 *
 * A request that does not fit the export is an {@link IllegalArgumentException} at once. {@link #blocking()} is the same for callers that
 * would rather wait, on a virtual thread for example.
 *
 * <p>Connections come from {@link #connect} to one server, or from {@link io.vmft.nbd.client.session.FollowingClient}, which outlives
 * them.
 */
public interface NbdClient extends AutoCloseable {
    /**
     * Connects and chooses the export. Blocks for at most about 20 s.
     *
     * @param uri of one server
     * @throws NbdRefusedException if the server does not give the export
     * @throws IOException if there is no server, or it does not speak NBD; one line that begins with the URI
     */
    static NbdClient connect(NbdUri uri, ConnectOptions options) throws IOException {
        return Waiting.connect(connectAsync(uri, options), uri);
    }

    /** As {@link #connect(NbdUri, ConnectOptions)}, with one connection and no metadata contexts. */
    static NbdClient connect(NbdUri uri) throws IOException {
        return connect(uri, ConnectOptions.DEFAULT);
    }

    /** Connects and chooses the export. Fails as {@link #connect} does, without the URI in the message. */
    static CompletableFuture<NbdClient> connectAsync(NbdUri uri, ConnectOptions options) {
        return ConnectionGroup.open(uri, options).thenApply(client -> client);
    }

    /**
     * The names of a server's exports; the export in the URI does not matter. Fails if there is no server, it does not speak
     * NBD, or it does not list its exports.
     */
    static CompletableFuture<List<String>> listAsync(NbdUri uri) {
        return Connection.list(uri);
    }

    /** As {@link #listAsync}. Blocks for at most about 20 s. */
    static List<String> list(NbdUri uri) throws IOException {
        return Waiting.connect(listAsync(uri), uri);
    }

    /**
     * What the server says about an export, without opening it: nobody's connection ends for it. Its contexts are all that the export
     * has. Fails with {@link NbdRefusedException} if the server does not give the export, or with {@code REP_ERR_UNSUP} in it if
     * it cannot say.
     */
    static CompletableFuture<NbdExport> describeAsync(NbdUri uri) {
        return Connection.describe(uri);
    }

    /** As {@link #describeAsync}. Blocks for at most about 20 s. */
    static NbdExport describe(NbdUri uri) throws IOException {
        return Waiting.connect(describeAsync(uri), uri);
    }

    /** As it was when the client connected. */
    NbdExport export();

    /** Reads at most {@link NbdExport#maximumPayloadBytes}; the buffer belongs to whoever takes it and must be released. */
    CompletableFuture<ByteBuf> read(long offset, int lengthBytes);

    /**
     * Writes the readable bytes of {@code data}, at most {@link NbdExport#maximumPayloadBytes}. The buffer is taken over, whatever
     * happens; nobody may change it any more.
     *
     * @param flags {@link RequestFlag#FUA}
     */
    CompletableFuture<Void> write(long offset, ByteBuf data, RequestFlag... flags);

    /** Makes every write answered before safe. */
    CompletableFuture<Void> flush();

    /**
     * Tells the server that the range is not needed; what is read there afterwards is anything.
     *
     * @param flags {@link RequestFlag#FUA}
     */
    CompletableFuture<Void> trim(long offset, long lengthBytes, RequestFlag... flags);

    /**
     * Makes a range read as zeroes; it may become a hole.
     *
     * @param flags {@link RequestFlag#FUA}, {@link RequestFlag#NO_HOLE}, {@link RequestFlag#FAST_ZERO}
     */
    CompletableFuture<Void> writeZeroes(long offset, long lengthBytes, RequestFlag... flags);

    /** Tells the server that the range will be read soon. */
    CompletableFuture<Void> cache(long offset, long lengthBytes);

    /**
     * What is in a range, in each of {@link NbdExport#contexts}: extents one behind the other, the first at {@code offset}. They may
     * end early, then ask again from there, but hold at least one; they never go beyond the range.
     *
     * @param flags {@link RequestFlag#ONE_EXTENT}
     */
    CompletableFuture<Map<String, List<Extent>>> blockStatus(long offset, long lengthBytes, RequestFlag... flags);

    /** Completes, with the reason, when this client is of no more use; never exceptionally. */
    CompletionStage<IOException> ended();

    /** The same client for callers that wait. */
    default BlockingNbd blocking() {
        return new BlockingNbd(this);
    }

    /** Closes at once, without a goodbye and without waiting for anything; what is not answered yet fails. */
    void cut();

    /**
     * Says goodbye and closes; what is not answered yet fails. Wait for the last answer first. Blocks until the server has closed,
     * or some seconds.
     */
    @Override
    void close();
}
