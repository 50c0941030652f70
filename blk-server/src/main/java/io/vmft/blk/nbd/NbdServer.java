package io.vmft.blk.nbd;

import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.AdaptiveRecvByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.vmft.blk.export.Exports;
import io.vmft.blk.tls.ServerCertificates;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A listening NBD server: fixed newstyle handshake, structured replies, extended headers, metadata contexts, TLS.
 *
 * <p>Thread-safe. It owns its threads and sockets until {@link #close}; the {@link Exports} stay the caller's and must outlive it.
 *
 * @see <a href="https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md">The NBD protocol</a>
 */
public final class NbdServer implements AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(NbdServer.class);

    private static final int SMALL_RECEIVE_BYTES = 2 << 10;
    private static final int MAX_RECEIVE_BYTES = 256 << 10;
    /**
     * What the kernel may hold for a TCP client on this host; it takes twice that. No network has to be filled, and what lies there stays in the
     * processor's cache until it is read: the megabytes it would grow to do not. Any less, and both sides wait for each other.
     */
    private static final int LOCAL_SEND_BYTES = 128 << 10;

    private static final Duration GRACE = Duration.ofSeconds(5);

    private final NbdTransport transport = NbdTransport.best();
    private final EventLoopGroup loops;
    private final Exports exports;
    private final NbdLimits limits;
    private final StorageThreads threads;
    private final MemoryShare memory;
    private final @Nullable Tls tls;
    private final CutLog cutLog = new CutLog();
    private final Set<Channel> connections = ConcurrentHashMap.newKeySet();
    private final List<Channel> listeners = new ArrayList<>();
    private final List<ListenAddress> addresses = new ArrayList<>();
    private final List<UnixSocketFile> socketFiles = new ArrayList<>();

    private NbdServer(Exports exports, NbdLimits limits, @Nullable TlsSettings tls) throws IOException {
        this.exports = exports;
        this.limits = limits;
        this.memory = new MemoryShare(limits);
        this.threads = new StorageThreads(limits);
        this.tls = tls == null ? null : new Tls(ServerCertificates.load(tls), tls.required(), threads.waiting());
        this.loops =
                transport.loops("nbd-loop", Math.max(4, Runtime.getRuntime().availableProcessors()));
    }

    /**
     * Starts serving on every address; when it returns, clients can connect.
     *
     * @param tls null: without
     * @throws IOException if an address cannot be listened on, or the certificates cannot be used; then nothing listens
     */
    public static NbdServer start(
            Exports exports, List<ListenAddress> addresses, NbdLimits limits, @Nullable TlsSettings tls)
            throws IOException {
        NbdServer server = new NbdServer(exports, limits, tls);
        try {
            for (ListenAddress address : addresses) {
                server.listen(address);
            }
        } catch (IOException | RuntimeException e) {
            server.close();
            throw e;
        }
        return server;
    }

    /** As above, without TLS. */
    public static NbdServer start(Exports exports, List<ListenAddress> addresses, NbdLimits limits) throws IOException {
        return start(exports, addresses, limits, null);
    }

    /** Where it listens, in the order asked for, with the ports that were found for port 0. */
    public List<ListenAddress> addresses() {
        return List.copyOf(addresses);
    }

    private void listen(ListenAddress address) throws IOException {
        switch (address) {
            case ListenAddress.Tcp tcp -> {
                Channel channel = bind(tcp);
                int port = ((InetSocketAddress) channel.localAddress()).getPort();
                addresses.add(new ListenAddress.Tcp(tcp.host(), port));
            }
            case ListenAddress.Unix unix -> {
                UnixSocketFile file = UnixSocketFile.prepare(unix);
                socketFiles.add(file);
                bind(file.bindAddress());
                file.publish();
                addresses.add(unix);
            }
        }
    }

    private Channel bind(ListenAddress address) throws IOException {
        ServerBootstrap bootstrap = new ServerBootstrap()
                .group(loops)
                .channel(transport.serverChannel(address))
                .childOption(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .childOption(ChannelOption.WRITE_BUFFER_WATER_MARK, memory.unsentBytes())
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        accept(channel);
                    }
                });
        if (address instanceof ListenAddress.Tcp) {
            bootstrap
                    .option(ChannelOption.SO_REUSEADDR, true)
                    .childOption(ChannelOption.TCP_NODELAY, true)
                    .childOption(ChannelOption.SO_KEEPALIVE, true);
        }
        ChannelFuture bound = bootstrap.bind(transport.socketAddress(address)).awaitUninterruptibly();
        if (!bound.isSuccess()) {
            throw new IOException(
                    "cannot listen on " + address + ": " + bound.cause().getMessage()
                            + "; stop what listens there or choose another --listen",
                    bound.cause());
        }
        listeners.add(bound.channel());
        return bound.channel();
    }

    private void accept(Channel channel) {
        connections.add(channel);
        memory.connected();
        var _ = channel.closeFuture().addListener(_ -> {
            memory.disconnected();
            connections.remove(channel);
        });
        if (connections.size() > limits.connections()) {
            cutLog.cut(channel, "more than " + limits.connections() + " connections");
            var _ = channel.close();
            return;
        }
        if (isOnThisHost(channel)) {
            channel.config().setOption(ChannelOption.SO_SNDBUF, LOCAL_SEND_BYTES);
        }
        channel.config()
                .setRecvByteBufAllocator(
                        new AdaptiveRecvByteBufAllocator(SMALL_RECEIVE_BYTES, SMALL_RECEIVE_BYTES, MAX_RECEIVE_BYTES));
        NbdServerDecoder decoder = new NbdServerDecoder();
        channel.pipeline()
                .addLast(decoder)
                .addLast(new NbdHandshake(exports, limits, memory, threads, tls, decoder, cutLog))
                .addLast(new ConnectionGuard(cutLog));
    }

    private static boolean isOnThisHost(Channel channel) {
        return channel.localAddress() instanceof InetSocketAddress here
                && channel.remoteAddress() instanceof InetSocketAddress there
                && here.getAddress().equals(there.getAddress());
    }

    /**
     * Stops listening, answers what was asked, ends every connection and returns when none is left and every view is closed.
     * Connections whose requests take longer than a few seconds are cut.
     */
    @Override
    public void close() {
        listeners.forEach(listener -> listener.close().awaitUninterruptibly());
        for (UnixSocketFile file : socketFiles) {
            try {
                file.remove();
            } catch (IOException e) {
                LOG.warn("could not remove a socket file: {}", e.getMessage());
            }
        }
        List<Channel> open = List.copyOf(connections);
        open.forEach(connection -> connection.pipeline().fireUserEventTriggered(NbdTransmission.Event.LEAVE));
        long deadlineNanos = System.nanoTime() + GRACE.toNanos();
        for (Channel connection : open) {
            if (!connection
                    .closeFuture()
                    .awaitUninterruptibly(deadlineNanos - System.nanoTime(), TimeUnit.NANOSECONDS)) {
                cutLog.cut(connection, "the server closes and its requests take too long");
                connection.close().awaitUninterruptibly();
            }
        }
        loops.shutdownGracefully(0, GRACE.toSeconds(), TimeUnit.SECONDS).awaitUninterruptibly();
        threads.close();
    }
}
