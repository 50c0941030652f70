package io.vmft.bench.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.session.FollowEvent;
import io.vmft.nbd.client.session.FollowingClient;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A following client under load while the block server is killed, and while a backup takes over. */
@Timeout(300)
class FollowingClientIT {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 2048;
    private static final int UNDER_WAY = 16;

    @TempDir
    private Path folder;

    private final Queue<FollowEvent> events = new ConcurrentLinkedQueue<>();

    private FollowingClient connect(BlockServer server) throws IOException {
        FollowingClient.Settings settings = FollowingClient.Settings.DEFAULT
                .withPatience(Duration.ofSeconds(60))
                .withOptions(ConnectOptions.DEFAULT.withConnections(3));
        return FollowingClient.connect(
                List.of(NbdUri.parse("nbd://127.0.0.1:" + server.port() + "/disk")), settings, events::add);
    }

    /** A write, and the generation under which it was answered. */
    private record Change(int block, byte value, CompletableFuture<Long> generation) {}

    /** Writes blocks at random, as fast as answers come, and remembers the order. */
    private static final class Load implements AutoCloseable {
        private final FollowingClient client;
        private final Random random;
        private final Semaphore room = new Semaphore(UNDER_WAY);
        /** Held for writing: no further write begins. */
        private final ReentrantReadWriteLock gate = new ReentrantReadWriteLock(true);

        private final List<Change> changes = new ArrayList<>();
        private final Thread thread;
        private volatile boolean stopped;

        Load(FollowingClient client, long seed) {
            this.client = client;
            this.random = new Random(seed);
            this.thread = Thread.ofPlatform().daemon().start(this::run);
        }

        private void run() {
            while (!stopped) {
                room.acquireUninterruptibly();
                gate.readLock().lock();
                try {
                    int block = random.nextInt(BLOCKS);
                    byte value = (byte) (1 + random.nextInt(250));
                    byte[] bytes = new byte[BLOCK];
                    java.util.Arrays.fill(bytes, value);
                    CompletableFuture<Long> generation = client.write(
                                    (long) block * BLOCK, Unpooled.wrappedBuffer(bytes))
                            .thenApply(_ -> client.generation());
                    var _ = generation.whenComplete((_, _) -> room.release());
                    changes.add(new Change(block, value, generation));
                } finally {
                    gate.readLock().unlock();
                }
            }
        }

        /** Waits until so many more writes were answered. */
        void await(int count) {
            int target = answered() + count;
            Awaitility.await().atMost(Duration.ofSeconds(90)).until(() -> answered() >= target);
        }

        private int answered() {
            gate.writeLock().lock();
            try {
                return changes.size() - UNDER_WAY;
            } finally {
                gate.writeLock().unlock();
            }
        }

        /** With nothing under way. */
        void quietly(Runnable action) {
            gate.writeLock().lock();
            try {
                changes.forEach(change -> change.generation().join());
                action.run();
            } finally {
                gate.writeLock().unlock();
            }
        }

        /** While what is under way may or may not be answered, and nothing new begins. */
        void suddenly(Runnable action) {
            gate.writeLock().lock();
            try {
                action.run();
            } finally {
                gate.writeLock().unlock();
            }
        }

        @Override
        public void close() {
            stopped = true;
            try {
                thread.join(TimeUnit.SECONDS.toMillis(90));
            } catch (InterruptedException e) {
                throw new AssertionError(e);
            }
            changes.forEach(change -> change.generation().join());
        }
    }

    private static void apply(byte[] model, List<Change> changes) {
        changes.forEach(change -> model[change.block()] = change.value());
    }

    private static byte[] content(FollowingClient client) throws IOException {
        byte[] blocks = new byte[BLOCKS];
        byte[] bytes = client.blocking().read(0, BLOCKS * BLOCK);
        for (int block = 0; block < BLOCKS; block++) {
            blocks[block] = bytes[block * BLOCK];
            for (int i = 1; i < BLOCK; i++) {
                assertThat(bytes[block * BLOCK + i]).isEqualTo(blocks[block]);
            }
        }
        return blocks;
    }

    @Test
    void theServerIsKilledUnderLoadAndTheApplicationSeesAPause() throws IOException {
        byte[] model = new byte[BLOCKS];
        try (BlockServer server = new BlockServer(folder, (long) BLOCKS * BLOCK);
                FollowingClient client = connect(server)) {
            List<Change> changes;
            try (Load load = new Load(client, 1)) {
                changes = load.changes;
                for (int round = 0; round < 4; round++) {
                    load.await(500);
                    server.kill();
                    server.start();
                }
                load.await(500);
            }
            apply(model, changes);
            assertThat(content(client)).isEqualTo(model);
            assertThat(events.stream().filter(FollowEvent.Lost.class::isInstance))
                    .hasSizeGreaterThanOrEqualTo(4);
        }
    }

    /** What was answered after the committed epoch is gone with the old primary; everything else is there, in order. */
    @Test
    void theBackupTakesOverUnderLoad() throws IOException {
        byte[] model = new byte[BLOCKS];
        try (BlockServer server = new BlockServer(folder, (long) BLOCKS * BLOCK)) {
            server.open();
            try (FollowingClient client = connect(server);
                    Load load = new Load(client, 2)) {
                long epoch = 1;
                for (int round = 0; round < 3; round++) {
                    long before = client.generation();
                    long first = ++epoch;
                    load.quietly(() -> server.protect(first));
                    for (int i = 0; i < 5; i++) {
                        load.await(100);
                        long next = ++epoch;
                        load.quietly(() -> {
                            server.seal(next);
                            apply(model, load.changes);
                            load.changes.clear();
                        });
                        server.commit(next);
                    }
                    load.await(300);
                    long last = epoch;
                    load.suddenly(() -> assertThat(server.takeOver(last, last)).isEqualTo(last));
                    Awaitility.await().until(() -> client.generation() > before);
                    load.await(300);
                    load.quietly(() -> {
                        long current = server.record().getPrimaryGeneration();
                        assertThat(client.generation()).isEqualTo(current);
                        load.changes.removeIf(change -> change.generation().join() != current);
                        apply(model, load.changes);
                        load.changes.clear();
                        try {
                            assertThat(content(client)).isEqualTo(model);
                        } catch (IOException e) {
                            throw new AssertionError(e);
                        }
                    });
                }
            }
            assertThat(events.stream()
                            .filter(event -> event instanceof FollowEvent.Connected connected && connected.moved()))
                    .hasSize(3);
        }
    }
}
