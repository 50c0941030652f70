package io.vmft.engine.cluster;

import io.netty.bootstrap.Bootstrap;
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.netty.channel.epoll.EpollServerSocketChannel;
import io.netty.channel.epoll.EpollSocketChannel;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameDecoder;
import io.vmft.proto.checkpoint.FrameEncoder;
import io.vmft.proto.checkpoint.FrameType;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * Stands between primary and standby. Once told, it replaces the last page that is not zero of every checkpoint frame by a second copy of
 * the first of them: well-formed, rightly checksummed, and wrong.
 */
final class PageDroppingProxy implements AutoCloseable {
    private final MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final Channel server;
    private final InetSocketAddress standby;
    private final AtomicInteger dropped = new AtomicInteger();
    private volatile boolean dropping;

    PageDroppingProxy(String standby) {
        this.standby = TestCluster.parsed(standby);
        this.server = new ServerBootstrap()
                .group(group)
                .channel(EpollServerSocketChannel.class)
                .childHandler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel primary) {
                        connect(primary);
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

    void dropPagesFromNowOn() {
        dropping = true;
    }

    void dropNoMore() {
        dropping = false;
    }

    int dropped() {
        return dropped.get();
    }

    private void connect(Channel primary) {
        primary.config().setAutoRead(false);
        new Bootstrap()
                .group(primary.eventLoop())
                .channel(EpollSocketChannel.class)
                .handler(new ChannelInitializer<Channel>() {
                    @Override
                    protected void initChannel(Channel standby) {
                        join(primary, standby);
                        join(standby, primary);
                    }
                })
                .connect(standby)
                .addListener(connected -> {
                    if (connected.isSuccess()) {
                        primary.config().setAutoRead(true);
                    } else {
                        primary.close();
                    }
                });
    }

    private void join(Channel from, Channel to) {
        from.pipeline().addLast(new FrameEncoder(), new FrameDecoder((type, length) -> Unpooled.directBuffer(length)));
        from.pipeline().addLast(new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                Frame frame = (Frame) message;
                if (dropping && frame.type() == FrameType.PAGES) {
                    dropLastPage(frame.payload());
                }
                to.writeAndFlush(frame);
            }

            @Override
            public void channelInactive(ChannelHandlerContext ctx) {
                to.close();
            }
        });
    }

    private void dropLastPage(ByteBuf payload) {
        int count = payload.getInt(0);
        int stored = payload.getInt(4);
        if (stored < 2) {
            return;
        }
        int first = -1;
        int last = -1;
        for (int at = Frame.PAGES_PREFIX_BYTES; at < Frame.PAGES_PREFIX_BYTES + 8 * count; at += 8) {
            if (payload.getLongLE(at) >= 0) {
                first = first < 0 ? at : first;
                last = at;
            }
        }
        int pages = Frame.PAGES_PREFIX_BYTES + 8 * count;
        payload.setLongLE(last, payload.getLongLE(first));
        payload.setBytes(pages + (stored - 1) * Frame.PAGE_BYTES, payload, pages, Frame.PAGE_BYTES);
        dropped.incrementAndGet();
    }

    @Override
    public void close() {
        server.close().syncUninterruptibly();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }
}
