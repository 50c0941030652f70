package io.vmft.engine.primary;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import io.netty.buffer.PooledByteBufAllocator;
import io.netty.channel.EventLoop;
import io.netty.channel.MultiThreadIoEventLoopGroup;
import io.netty.channel.epoll.EpollIoHandler;
import io.vmft.engine.config.Copying;
import io.vmft.engine.config.Copying.Compression;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.LinkConfig;
import io.vmft.engine.replication.LinkListener;
import io.vmft.engine.replication.Links;
import io.vmft.kvm.Chunk;
import io.vmft.proto.checkpoint.Frame;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.time.Duration;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
final class PageSenderTest {
    private static final int CHUNKS = 16;
    private static final int PAGES = 512;
    private static final LinkConfig CONFIG = new LinkConfig(Duration.ofMillis(100), Duration.ofSeconds(30));
    private static final Copying ALWAYS = new Copying(0, 0, Compression.ALWAYS, 64L << 20);

    private final Set<Integer> released = ConcurrentHashMap.newKeySet();
    private MultiThreadIoEventLoopGroup group;
    private Link link;
    private final List<Chunk> chunks =
            IntStream.range(0, CHUNKS).mapToObj(PageSenderTest::chunk).toList();

    @BeforeEach
    void connect() throws Exception {
        group = new MultiThreadIoEventLoopGroup(1, EpollIoHandler.newFactory());
        EventLoop loop = group.next();
        LinkListener deaf = new LinkListener() {
            @Override
            public void frame(Link from, Frame frame) {
                frame.release();
            }

            @Override
            public void closed(Link from, String reason) {}
        };
        InetSocketAddress address = (InetSocketAddress) Links.listen(
                        loop,
                        new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                        CONFIG,
                        (type, length) -> PooledByteBufAllocator.DEFAULT.directBuffer(length),
                        deaf,
                        accepted -> {})
                .get(10, TimeUnit.SECONDS)
                .localAddress();
        link = Links.connect(
                        loop,
                        address,
                        CONFIG,
                        (type, length) -> PooledByteBufAllocator.DEFAULT.directBuffer(length),
                        deaf)
                .get(10, TimeUnit.SECONDS);
    }

    @AfterEach
    void end() {
        group.shutdownGracefully(0, 5, TimeUnit.SECONDS).syncUninterruptibly();
    }

    /** Packing is slower than dirtying on a busy machine: a lot of it waits when a backup is lost, and the guest goes on. */
    @Test
    void slotsOfWhatWaitsGoBackWhenTheSessionEnds() {
        link.execute(this::sendAllAndClose);
        await().untilAsserted(() -> assertThat(released).hasSize(CHUNKS));
    }

    /** What is thrown on the packing thread fails the wait. */
    @Test
    void anEngineThatEndsMeanwhileIsNoError() throws Exception {
        group.submit(this::sendAllAndClose).get(10, TimeUnit.SECONDS);
        group.shutdownGracefully(0, 5, TimeUnit.SECONDS).syncUninterruptibly();
        await("the packing thread to end")
                .until(() -> Thread.getAllStackTraces().keySet().stream()
                        .noneMatch(thread -> thread.getName().equals("sender-test-pack")));
        assertThat(released).isNotEmpty();
    }

    private void sendAllAndClose() {
        try (PageSender sender = new PageSender("sender-test", link, ALWAYS, Duration.ofMillis(25), released::add)) {
            chunks.forEach(sender::pages);
        }
    }

    private static Chunk chunk(int slot) {
        ByteBuffer indexes = ByteBuffer.allocateDirect(PAGES * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int page = 0; page < PAGES; page++) {
            indexes.putLong((long) slot * PAGES + page);
        }
        byte[] pages = new byte[PAGES * 4096];
        new Random(slot).nextBytes(pages);
        return new Chunk(
                1,
                slot,
                PAGES,
                PAGES,
                indexes.flip(),
                ByteBuffer.allocateDirect(pages.length).put(pages).flip());
    }
}
