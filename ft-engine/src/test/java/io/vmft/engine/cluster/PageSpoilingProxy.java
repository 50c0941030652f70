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
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;

/**
 * Stands between primary and standby. Once told, it flips a bit of each frame's last page of those that the test guest writes, and of that
 * page in every frame after it: well-formed, rightly checksummed, and wrong. The firmware's pages, below those, may become zero again, and
 * right.
 */
final class PageSpoilingProxy implements AutoCloseable {
    /** Where the pages begin that the test guest writes, unless its command line says otherwise (guest.c). */
    private static final int FIRST_PAGE = 4096;

    private final MultiThreadIoEventLoopGroup group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
    private final Channel server;
    private final InetSocketAddress standby;
    /** Of all connections: they share an event loop. */
    private final Set<Long> spoilt = new HashSet<>();

    private final AtomicInteger flippedBits = new AtomicInteger();
    private volatile boolean spoiling;

    PageSpoilingProxy(String standby) {
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

    void spoilPagesFromNowOn() {
        spoiling = true;
    }

    void spoilNoMore() {
        spoiling = false;
    }

    int flippedBits() {
        return flippedBits.get();
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
                if (spoiling && frame.type() == FrameType.PAGES) {
                    spoil(frame.payload());
                }
                to.writeAndFlush(frame);
            }

            @Override
            public void channelInactive(ChannelHandlerContext ctx) {
                to.close();
            }
        });
    }

    private void spoil(ByteBuf payload) {
        int count = payload.getInt(0);
        // Only these have content; zero pages have none.
        long[] pages = IntStream.range(0, count)
                .mapToLong(i -> payload.getLongLE(Frame.PAGES_PREFIX_BYTES + 8 * i))
                .filter(page -> page >= 0)
                .toArray();
        if (pages.length > 0 && pages[pages.length - 1] >= FIRST_PAGE) {
            spoilt.add(pages[pages.length - 1]);
        }
        for (int i = 0; i < pages.length; i++) {
            if (spoilt.contains(pages[i])) {
                int at = Frame.PAGES_PREFIX_BYTES + 8 * count + i * Frame.PAGE_BYTES;
                payload.setByte(at, payload.getByte(at) ^ 1);
                flippedBits.incrementAndGet();
            }
        }
    }

    @Override
    public void close() {
        server.close().syncUninterruptibly();
        group.shutdownGracefully(0, 1, TimeUnit.SECONDS).syncUninterruptibly();
    }
}
