package io.vmft.blk.nbd;

import io.netty.channel.EventLoopGroup;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.ServerChannel;
import io.netty.channel.epoll.Epoll;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerDomainSocketChannel;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.nio.NioIoHandler;
import io.netty.channel.socket.nio.NioServerDomainSocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.channel.unix.DomainSocketAddress;
import io.netty.util.concurrent.DefaultThreadFactory;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.UnixDomainSocketAddress;

/** How sockets are driven: by epoll where its native library loads, by NIO elsewhere. */
enum NbdTransport {
    EPOLL {
        @Override
        EventLoopGroup loops(String threadName, int threads) {
            return new MultiThreadIoEventLoopGroup(
                    threads,
                    new DefaultThreadFactory(threadName, true),
                    EpollIoHandler.newFactory(0, PollBeforeSleep.factory()));
        }

        @Override
        Class<? extends ServerChannel> serverChannel(ListenAddress address) {
            return switch (address) {
                case ListenAddress.Tcp _ -> EpollServerSocketChannel.class;
                case ListenAddress.Unix _ -> EpollServerDomainSocketChannel.class;
            };
        }

        @Override
        SocketAddress unixAddress(ListenAddress.Unix unix) {
            return new DomainSocketAddress(unix.path().toString());
        }
    },
    NIO {
        @Override
        EventLoopGroup loops(String threadName, int threads) {
            return new MultiThreadIoEventLoopGroup(
                    threads, new DefaultThreadFactory(threadName, true), NioIoHandler.newFactory());
        }

        @Override
        Class<? extends ServerChannel> serverChannel(ListenAddress address) {
            return switch (address) {
                case ListenAddress.Tcp _ -> NioServerSocketChannel.class;
                case ListenAddress.Unix _ -> NioServerDomainSocketChannel.class;
            };
        }

        @Override
        SocketAddress unixAddress(ListenAddress.Unix unix) {
            return UnixDomainSocketAddress.of(unix.path());
        }
    };

    static NbdTransport best() {
        return Epoll.isAvailable() ? EPOLL : NIO;
    }

    abstract EventLoopGroup loops(String threadName, int threads);

    abstract Class<? extends ServerChannel> serverChannel(ListenAddress address);

    abstract SocketAddress unixAddress(ListenAddress.Unix unix);

    /** Resolves host names: blocks. */
    final SocketAddress socketAddress(ListenAddress address) {
        return switch (address) {
            case ListenAddress.Tcp tcp when tcp.host().isEmpty() -> new InetSocketAddress(tcp.port());
            case ListenAddress.Tcp tcp -> new InetSocketAddress(tcp.host(), tcp.port());
            case ListenAddress.Unix unix -> unixAddress(unix);
        };
    }
}
