package io.vmft.nbd.client;

import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.handler.ssl.SslContext;
import io.vmft.nbd.client.tls.ClientTls;
import io.vmft.proto.nbd.NbdClientDecoder;
import io.vmft.proto.nbd.NbdRequest;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongFunction;
import java.util.regex.Pattern;

/** One connection to one export. Thread-safe. */
final class Connection {
    private static final Pattern SYSTEM_CALL = Pattern.compile("^\\w+\\(\\.\\.\\) failed with error\\(-?\\d+\\): ");

    private final Channel channel;
    private final NbdExport export;
    private final Map<Integer, String> contexts;
    private final ClientTransmission transmission;
    private final AtomicLong cookies = new AtomicLong();

    private Connection(HandshakeGoal.Opened opened) {
        this.channel = opened.channel();
        this.export = opened.export();
        this.contexts = opened.contexts();
        this.transmission = new ClientTransmission(channel, export.headers());
    }

    static CompletableFuture<Connection> open(NbdUri uri, ConnectOptions options) {
        CompletableFuture<HandshakeGoal.Opened> opened = new CompletableFuture<>();
        NbdClientDecoder decoder = new NbdClientDecoder();
        CompletableFuture<Connection> connection = opened.thenApply(done -> {
            Connection made = new Connection(done);
            made.channel.pipeline().addLast(made.transmission);
            decoder.startTransmission(made.export.headers(), made.transmission::pending);
            return made;
        });
        start(uri, decoder, new HandshakeGoal.Open(options, opened));
        return connection;
    }

    static CompletableFuture<List<String>> list(NbdUri uri) {
        CompletableFuture<List<String>> names = new CompletableFuture<>();
        start(uri, new NbdClientDecoder(), new HandshakeGoal.ListNames(names));
        return names;
    }

    static CompletableFuture<NbdExport> describe(NbdUri uri) {
        CompletableFuture<NbdExport> export = new CompletableFuture<>();
        start(uri, new NbdClientDecoder(), new HandshakeGoal.Describe(export));
        return export;
    }

    private static void start(NbdUri uri, NbdClientDecoder decoder, HandshakeGoal goal) {
        SslContext tls;
        try {
            if (uri.addresses().size() > 1) {
                throw new IOException("several servers are no one connection");
            }
            tls = uri.tls() == null ? null : ClientTls.context(uri.tls());
        } catch (IOException e) {
            goal.fail(e);
            return;
        }
        ChannelInitializer<Channel> handlers = new ChannelInitializer<>() {
            @Override
            protected void initChannel(Channel channel) {
                channel.pipeline().addLast(decoder).addLast(new ClientHandshake(uri, goal, decoder, tls));
            }
        };
        ChannelFuture connected =
                Transport.connect(uri.addresses().getFirst(), (int) ClientHandshake.DEADLINE.toMillis(), handlers);
        var _ = connected.addListener(done -> {
            if (!done.isSuccess()) {
                goal.fail(new IOException(notConnected(done.cause()), done.cause()));
            }
        });
    }

    /** In an operator's words; Netty's name the system call, and nothing at all where there is no such socket. */
    private static String notConnected(Throwable cause) {
        if (cause instanceof FileNotFoundException) {
            return "there is no such socket";
        }
        String message = cause.getMessage();
        return message == null ? cause.toString() : SYSTEM_CALL.matcher(message).replaceFirst("");
    }

    NbdExport export() {
        return export;
    }

    /** By the number the server gave them. */
    Map<Integer, String> contexts() {
        return contexts;
    }

    /** Completes with the reason when the connection is of no more use. */
    CompletableFuture<IOException> ended() {
        return transmission.ended();
    }

    /**
     * Sends a request; a write's data is taken over.
     *
     * @param request makes it with a cookie
     */
    void submit(LongFunction<PendingRequest> request) {
        transmission.submit(request.apply(cookies.incrementAndGet()));
    }

    /** Says goodbye; the server closes. */
    void leave() {
        if (channel.isActive()) {
            transmission.submit(new PendingChange(new NbdRequest.Disconnect(0), new CompletableFuture<>()));
        }
    }

    /** After {@link #leave}: waits a little for the server to close, or closes. */
    void awaitEnd() {
        if (channel.eventLoop().inEventLoop()) {
            var _ = channel.close();
        } else if (!channel.closeFuture()
                .awaitUninterruptibly(ClientHandshake.DEADLINE.toMillis(), TimeUnit.MILLISECONDS)) {
            channel.close().awaitUninterruptibly();
        }
    }

    /** Closes now, without a goodbye and without waiting. */
    void cut() {
        var _ = channel.close();
    }
}
