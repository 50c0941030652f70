package io.vmft.nbd.client;

import io.netty.bootstrap.Bootstrap;
import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.Channel;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollChannelOption;
import io.netty.channel.epoll.EpollDomainSocketChannel;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioDomainSocketChannel;
import io.netty.channel.socket.nio.NioSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;

/** Sockets and the threads that drive them: a few daemon threads shared by all clients of the process. */
public final class Transport {
    private static final int THREADS = 2;
    private static final boolean EPOLL = Epoll.isAvailable();
    /** A host that is gone is noticed after about this time, whether something was sent to it or not. */
    private static final int DEAD_HOST_SECONDS = 10;

    /** Started at the first connection, by class initialization. */
    public static final EventLoopGroup LOOPS = new MultiThreadIoEventLoopGroup(
            THREADS,
            new DefaultThreadFactory("nbd-client", true),
            EPOLL ? EpollIoHandler.newFactory() : NioIoHandler.newFactory());

    private Transport() {}

    static ChannelFuture connect(NbdAddress address, int timeoutMillis, ChannelInitializer<Channel> handlers) {
        Bootstrap bootstrap = new Bootstrap()
                .group(LOOPS)
                .channel(channel(address))
                .option(ChannelOption.ALLOCATOR, PooledByteBufAllocator.DEFAULT)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, timeoutMillis)
                .handler(handlers);
        if (address instanceof NbdAddress.Tcp) {
            bootstrap.option(ChannelOption.TCP_NODELAY, true).option(ChannelOption.SO_KEEPALIVE, true);
            if (EPOLL) {
                bootstrap
                        .option(EpollChannelOption.TCP_USER_TIMEOUT, DEAD_HOST_SECONDS * 1000)
                        .option(EpollChannelOption.TCP_KEEPIDLE, DEAD_HOST_SECONDS / 2)
                        .option(EpollChannelOption.TCP_KEEPINTVL, DEAD_HOST_SECONDS / 5);
            }
        }
        return bootstrap.connect(socketAddress(address));
    }

    private static Class<? extends Channel> channel(NbdAddress address) {
        return switch (address) {
            case NbdAddress.Tcp _ -> EPOLL ? EpollSocketChannel.class : NioSocketChannel.class;
            case NbdAddress.Unix _ -> EPOLL ? EpollDomainSocketChannel.class : NioDomainSocketChannel.class;
        };
    }

    private static SocketAddress socketAddress(NbdAddress address) {
        return switch (address) {
            case NbdAddress.Tcp tcp -> InetSocketAddress.createUnresolved(tcp.host(), tcp.port());
            case NbdAddress.Unix unix ->
                EPOLL ? new DomainSocketAddress(unix.socket().toString()) : UnixDomainSocketAddress.of(unix.socket());
        };
    }
}
