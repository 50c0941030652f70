package io.vmft.nbd.client;

import io.netty.channel.Channel;
import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.Epoll;
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
final class Transport {
    private static final int THREADS = 2;
    private static final boolean EPOLL = Epoll.isAvailable();

    /** Started at the first connection, by class initialization. */
    static final EventLoopGroup LOOPS = new MultiThreadIoEventLoopGroup(
            THREADS,
            new DefaultThreadFactory("nbd-client", true),
            EPOLL ? EpollIoHandler.newFactory() : NioIoHandler.newFactory());

    private Transport() {}

    static Class<? extends Channel> channel(NbdUri uri) {
        if (uri.socket() == null) {
            return EPOLL ? EpollSocketChannel.class : NioSocketChannel.class;
        }
        return EPOLL ? EpollDomainSocketChannel.class : NioDomainSocketChannel.class;
    }

    static SocketAddress address(NbdUri uri) {
        if (uri.socket() == null) {
            return InetSocketAddress.createUnresolved(uri.host(), uri.port());
        }
        return EPOLL ? new DomainSocketAddress(uri.socket().toString()) : UnixDomainSocketAddress.of(uri.socket());
    }
}
