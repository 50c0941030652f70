package io.vmft.nbd.client.session;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.BlockingNbd;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdRefusedException;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Waiting;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(120)
class FollowingClientTest {
    private static final int SIZE = 64 << 10;

    private static NbdUri uri(int port, String export) {
        return NbdUri.parse("nbd://127.0.0.1:" + port + "/" + export);
    }

    private static FollowingClient.Settings patient(int seconds) {
        return FollowingClient.Settings.DEFAULT.withPatience(Duration.ofSeconds(seconds));
    }

    /** A port where nobody listens. */
    private static int deadPort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            return socket.getLocalPort();
        }
    }

    private record Expected(CompletableFuture<ByteBuf> answer, ByteBuf bytes) {}

    /** Requests that overlap, many at a time: each read finds what was asked for before it, whatever breaks meanwhile. */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4})
    void requestsTakeEffectInOrderThoughConnectionsBreakAnywhere(long seed) throws IOException {
        Random random = new Random(seed);
        byte[] model = new byte[SIZE];
        ConnectOptions several = ConnectOptions.DEFAULT.withConnections(1 + (int) seed % 3);
        try (ModelServer server = new ModelServer(SIZE, seed % 2 == 0 ? 7 : 0, seed);
                FollowingClient client = FollowingClient.connect(
                        List.of(uri(server.port(), "disk")), patient(60).withOptions(several), _ -> {})) {
            Deque<Expected> reads = new ArrayDeque<>();
            Deque<CompletableFuture<Void>> changes = new ArrayDeque<>();
            for (int i = 0; i < 3000; i++) {
                int length = 1 + random.nextInt(3000);
                int offset = random.nextInt(SIZE - length);
                switch (random.nextInt(5)) {
                    case 0, 1 ->
                        reads.add(new Expected(
                                client.read(offset, length), Unpooled.copiedBuffer(model, offset, length)));
                    case 2, 3 -> {
                        byte[] bytes = new byte[length];
                        random.nextBytes(bytes);
                        System.arraycopy(bytes, 0, model, offset, length);
                        changes.add(client.write(offset, Unpooled.wrappedBuffer(bytes)));
                    }
                    default -> {
                        Arrays.fill(model, offset, offset + length, (byte) 0);
                        changes.add(client.writeZeroes(offset, length));
                        changes.add(client.flush());
                    }
                }
                while (reads.size() > 16) {
                    check(reads.remove());
                }
                while (changes.size() > 16) {
                    Waiting.get(changes.remove());
                }
            }
            server.heal();
            for (Expected read : reads) {
                check(read);
            }
            for (CompletableFuture<Void> change : changes) {
                Waiting.get(change);
            }
            assertThat(client.generation()).isEqualTo(seed % 2 == 0 ? 7 : 0);
            assertThat(server.content()).isEqualTo(model);
            assertThat(server.broken.get()).as("connections that broke").isGreaterThan(50);
        }
    }

    private static void check(Expected read) throws IOException {
        ByteBuf data = Waiting.get(read.answer);
        try {
            assertThat(data).isEqualTo(read.bytes);
        } finally {
            data.release();
        }
    }

    @Test
    void aWriteWaitsForTheBackupToBecomeThePrimary() throws IOException {
        Queue<FollowEvent> events = new ConcurrentLinkedQueue<>();
        try (ModelServer server = new ModelServer(SIZE, 5, 1)) {
            server.heal();
            try (FollowingClient client =
                    FollowingClient.connect(List.of(uri(server.port(), "disk")), patient(60), events::add)) {
                client.blocking().write(0, new byte[] {1});
                server.takeOver(6);
                CompletableFuture<Void> write = client.write(1, Unpooled.wrappedBuffer(new byte[] {2}));
                Awaitility.await()
                        .until(() -> events.stream()
                                .anyMatch(event -> event instanceof FollowEvent.Lost lost
                                        && lost.reason().contains("EPERM")));
                assertThat(write).isNotDone();
                server.promote();
                Waiting.get(write);
                assertThat(client.generation()).isEqualTo(6);
                assertThat(client.blocking().read(0, 2)).containsExactly(1, 2);
                assertThat(events)
                        .anyMatch(event -> event instanceof FollowEvent.Connected connected
                                && connected.moved()
                                && connected.generation() == 6);
            }
        }
    }

    @Test
    void theNewestOfSeveralServersIsUsedAndNeverAnOlder() throws IOException {
        try (ModelServer old = new ModelServer(SIZE, 4, 1);
                ModelServer current = new ModelServer(SIZE, 5, 2)) {
            old.heal();
            current.heal();
            NbdUri uri = NbdUri.parse("nbd://127.0.0.1:%d,127.0.0.1:%d,127.0.0.1:%d/disk"
                    .formatted(deadPort(), old.port(), current.port()));
            try (FollowingClient client = FollowingClient.connect(List.of(uri), patient(1), _ -> {})) {
                BlockingNbd blocking = client.blocking();
                blocking.write(0, new byte[] {1});
                assertThat(client.generation()).isEqualTo(5);
                assertThat(current.content()[0]).isEqualTo((byte) 1);
                current.stop();
                assertThatThrownBy(() -> blocking.write(0, new byte[] {2}))
                        .hasMessageContaining("no answer within 1000 ms");
                assertThat(old.content()[0]).isZero();
            }
        }
    }

    @Test
    void anApplicationHearsOfAnEndAfterItsPatience() throws IOException {
        try (ModelServer server = new ModelServer(SIZE, 0, 1).healed();
                FollowingClient client =
                        FollowingClient.connect(List.of(uri(server.port(), "disk")), patient(1), _ -> {})) {
            client.blocking().write(0, new byte[] {1});
            server.stop();
            List<CompletableFuture<Void>> writes = new ArrayList<>();
            for (int i = 0; i < 5; i++) {
                writes.add(client.write(i, Unpooled.wrappedBuffer(new byte[] {2})));
            }
            for (CompletableFuture<Void> write : writes) {
                assertThatThrownBy(() -> Waiting.get(write)).hasMessageContaining("no answer within 1000 ms");
            }
        }
    }

    @Test
    void whatIsAskedOfAClosedClientFails() throws IOException {
        try (ModelServer server = new ModelServer(SIZE, 0, 1)) {
            server.heal();
            FollowingClient client = FollowingClient.connect(List.of(uri(server.port(), "disk")), patient(30), _ -> {});
            client.close();
            ByteBuf data = Unpooled.buffer().writeZero(512);
            assertThatThrownBy(() -> Waiting.get(client.write(0, data))).hasMessageContaining("was closed");
            assertThat(data.refCnt()).isZero();
        }
    }

    @Test
    void aNamedGenerationThatIsOverIsToldAtOnce() throws IOException {
        try (ModelServer server = new ModelServer(SIZE, 5, 1)) {
            server.heal();
            assertThatThrownBy(
                            () -> FollowingClient.connect(List.of(uri(server.port(), "disk@4")), patient(30), _ -> {}))
                    .hasMessageContaining("disk@4 is over; the current generation is 5");
            try (FollowingClient client =
                    FollowingClient.connect(List.of(uri(server.port(), "disk@5")), patient(30), _ -> {})) {
                client.blocking().write(0, new byte[] {1});
                server.takeOver(6);
                assertThatThrownBy(() -> client.blocking().write(0, new byte[] {2}))
                        .isInstanceOf(IOException.class)
                        .hasMessageContaining("disk@5 is over");
            }
        }
    }

    @Test
    void anExportThatNobodyHasIsToldAtOnce() throws IOException {
        try (ModelServer server = new ModelServer(SIZE, 0, 1)) {
            server.heal();
            assertThatThrownBy(() -> FollowingClient.connect(List.of(uri(server.port(), "none")), patient(30), _ -> {}))
                    .isInstanceOf(NbdRefusedException.class)
                    .hasMessageContaining("no such export");
        }
        int dead = deadPort();
        assertThatThrownBy(() -> FollowingClient.connect(List.of(uri(dead, "x")), patient(1), _ -> {}))
                .hasMessageContaining("no server within 1 s: ");
        assertThatThrownBy(() -> FollowingClient.connect(List.of(uri(1, "x"), uri(2, "y")), patient(1), _ -> {}))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
