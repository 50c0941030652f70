package io.vmft.engine.replication;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.channel.Channel;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.ChannelOption;
import io.netty.channel.EventLoop;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.vmft.proto.checkpoint.PayloadAllocator;
import java.net.InetSocketAddress;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;

/** Makes {@link Link}s: the primary connects, the standby listens. */
public final class Links {
    private static final int CONNECT_TIMEOUT_MILLIS = 2000;

    private Links() {}

    /** Connects; the future fails when nobody answers within two seconds. Completes on {@code loop}. */
    public static CompletableFuture<Link> connect(
            EventLoop loop,
            InetSocketAddress address,
            LinkConfig config,
            PayloadAllocator allocator,
            LinkListener listener) {
        CompletableFuture<Link> result = new CompletableFuture<>();
        new Bootstrap()
                .group(loop)
                .channel(EpollSocketChannel.class)
                .option(ChannelOption.TCP_NODELAY, true)
                .option(ChannelOption.CONNECT_TIMEOUT_MILLIS, CONNECT_TIMEOUT_MILLIS)
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        Link link = Link.install(channel, config, allocator, listener);
                        channel.attr(LINK).set(link);
                    }
                })
                .connect(address)
                .addListener((io.netty.channel.ChannelFuture connected) -> {
                    if (connected.isSuccess()) {
                        result.complete(connected.channel().attr(LINK).get());
                    } else {
                        result.completeExceptionally(connected.cause());
                    }
                });
        return result;
    }

    /**
     * Listens; each connection becomes a link.
     *
     * @param accepted called on {@code loop} before the link's first frame
     */
    public static CompletableFuture<Channel> listen(
            EventLoop loop,
            InetSocketAddress address,
            LinkConfig config,
            PayloadAllocator allocator,
            LinkListener listener,
            Consumer<Link> accepted) {
        CompletableFuture<Channel> result = new CompletableFuture<>();
        new ServerBootstrap()
                .group(loop, loop)
                .channel(EpollServerSocketChannel.class)
                .option(ChannelOption.SO_REUSEADDR, true)
                .childOption(ChannelOption.TCP_NODELAY, true)
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel channel) {
                        accepted.accept(Link.install(channel, config, allocator, listener));
                    }
                })
                .bind(address)
                .addListener((io.netty.channel.ChannelFuture bound) -> {
                    if (bound.isSuccess()) {
                        result.complete(bound.channel());
                    } else {
                        result.completeExceptionally(bound.cause());
                    }
                });
        return result;
    }

    private static final io.netty.util.AttributeKey<Link> LINK =
            io.netty.util.AttributeKey.valueOf(Links.class, "link");
}
