package io.vmft.engine.cluster;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.netty.channel.group.ChannelGroup;
import io.netty.channel.group.DefaultChannelGroup;
import io.netty.util.concurrent.GlobalEventExecutor;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;

/**
 * TCP connections through a slow place, which may also be away. What it has received and not passed on is at most one read: whoever sends more than goes through
 * feels it.
 */
final class SlowProxy implements AutoCloseable {
    private static final int BUFFER_BYTES = 64 << 10;
    private static final long FAST = Long.MAX_VALUE;

    private final MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final Channel server;
    private final InetSocketAddress target;
    private volatile long bytesPerSecond = FAST;
    private volatile long delayMillis;
    private volatile boolean away;
    private final ChannelGroup clients = new DefaultChannelGroup(GlobalEventExecutor.INSTANCE);

    SlowProxy(String target) {
        this.target = TestCluster.parsed(target);
        this.server = new ServerBootstrap()
                .group(group)
                .channel(EpollServerSocketChannel.class)
                .childOption(ChannelOption.SO_RCVBUF, BUFFER_BYTES)
                .childOption(ChannelOption.AUTO_READ, false)
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel client) {
                        connect(client);
                    }
                })
                .bind(InetAddress.getLoopbackAddress(), 0)
                .syncUninterruptibly()
                .channel();
    }

    /** As {@code HOST:PORT}. */
    String address() {
        return TestCluster.addressOf(server);
    }

    /** So much goes through from now on, in each direction. */
    void limit(long bytes) {
        bytesPerSecond = bytes;
    }

    /** Every piece takes so long from now on. */
    void delay(long millis) {
        delayMillis = millis;
    }

    /** Every connection ends now, and so does each new one. */
    void cut() {
        away = true;
        clients.close().syncUninterruptibly();
    }

    void lift() {
        bytesPerSecond = FAST;
        delayMillis = 0;
        away = false;
    }

    private void connect(Channel client) {
        clients.add(client);
        if (away) {
            client.close();
            return;
        }
        new Bootstrap()
                .group(client.eventLoop())
                .channel(EpollSocketChannel.class)
                .option(ChannelOption.AUTO_READ, false)
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel target) {
                        join(client, target);
                        join(target, client);
                    }
                })
                .connect(target)
                .addListener(connected -> {
                    if (connected.isSuccess()) {
                        client.read();
                    } else {
                        client.close();
                    }
                });
    }

    private void join(Channel from, Channel to) {
        from.pipeline().addLast(new ChannelInboundHandlerAdapter() {
            @Override
            public void channelActive(ChannelHandlerContext ctx) {
                ctx.read();
            }

            // The next piece is read when this one has gone its way: so pieces stay in order.
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                long bytes = ((io.netty.buffer.ByteBuf) message).readableBytes();
                long nanos = TimeUnit.MILLISECONDS.toNanos(delayMillis)
                        + (bytesPerSecond == FAST ? 0 : bytes * TimeUnit.SECONDS.toNanos(1) / bytesPerSecond);
                ctx.executor()
                        .schedule(
                                () -> to.writeAndFlush(message).addListener(written -> ctx.read()),
                                nanos,
                                TimeUnit.NANOSECONDS);
            }

            @Override
            public void channelInactive(ChannelHandlerContext ctx) {
                to.close();
            }
        });
    }

    @Override
    public void close() {
        server.close().syncUninterruptibly();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }
}
