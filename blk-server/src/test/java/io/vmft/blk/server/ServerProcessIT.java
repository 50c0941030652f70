package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochReply;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import io.vmft.proto.blk.v1.TakeOverReply;
import io.vmft.proto.blk.v1.TakeOverRequest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.Objects;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.locks.ReentrantReadWriteLock;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The server as a process: killed under load and started again, its command line, its refusals. */
class ServerProcessIT {
    private static final int BLOCK = 4096;
    private static final int WRITERS = 4;
    private static final int BLOCKS_EACH = 300;
    private static final int BLOCKS = WRITERS * BLOCKS_EACH;
    private static final int ROUNDS = 6;

    @TempDir
    private Path directory;

    private String[] arguments() {
        return new String[] {
            "--data",
            directory.resolve("data").toString(),
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--journal-limit",
            "32M",
            "--journal-segment",
            "1M",
            "--volume",
            "disk=" + directory.resolve("disk.img") + ",size=" + BLOCKS * BLOCK / 1024 + "K"
        };
    }

    private Path log() {
        return directory.resolve("server.log");
    }

    /** What one block may hold: the value last acknowledged, and one more that was sent and not answered. */
    private static final class Cell {
        private long acknowledged;
        private long sent;
    }

    /** Four connections that write as fast as answers come, each its own blocks, until the server is gone. */
    private static final class Load {
        private final Cell[] cells = new Cell[BLOCKS];
        private final ReentrantReadWriteLock pause = new ReentrantReadWriteLock();
        private final List<Thread> threads = new ArrayList<>();
        private long next = 1;

        Load() {
            for (int i = 0; i < BLOCKS; i++) {
                cells[i] = new Cell();
            }
        }

        private synchronized long next() {
            return next++;
        }

        void start(int port, String export, Random random) {
            threads.clear();
            for (int writer = 0; writer < WRITERS; writer++) {
                int first = writer * BLOCKS_EACH;
                Random own = new Random(random.nextLong());
                threads.add(Thread.ofPlatform().daemon().start(() -> write(port, export, first, own)));
            }
        }

        private void write(int port, String export, int first, Random random) {
            byte[] data = new byte[BLOCK];
            try (PlainNbd nbd = new PlainNbd(port, export)) {
                while (true) {
                    int block = first + random.nextInt(BLOCKS_EACH);
                    pause.readLock().lock();
                    try {
                        Cell cell = cells[block];
                        cell.sent = next();
                        ByteBuffer buffer = ByteBuffer.wrap(data);
                        while (buffer.hasRemaining()) {
                            buffer.putLong(cell.sent);
                        }
                        nbd.write((long) block * BLOCK, data);
                        cell.acknowledged = cell.sent;
                    } finally {
                        pause.readLock().unlock();
                    }
                }
            } catch (IOException e) {
                // The server was killed: what this test is about.
            }
        }

        void awaitEnd() throws InterruptedException {
            for (Thread thread : threads) {
                thread.join();
            }
        }

        long[] acknowledged() {
            long[] values = new long[BLOCKS];
            for (int i = 0; i < BLOCKS; i++) {
                values[i] = cells[i].acknowledged;
            }
            return values;
        }

        /** Takes what is there for the truth, after checking that it may be. */
        void compare(long[] found) {
            for (int i = 0; i < BLOCKS; i++) {
                assertThat(found[i]).as("block %d", i).isIn(cells[i].acknowledged, cells[i].sent);
                cells[i].acknowledged = found[i];
                cells[i].sent = found[i];
            }
        }

        void reset(long[] values) {
            for (int i = 0; i < BLOCKS; i++) {
                cells[i].acknowledged = values[i];
                cells[i].sent = values[i];
            }
        }
    }

    private static long[] readAll(int port, String export) throws IOException {
        long[] values = new long[BLOCKS];
        try (PlainNbd nbd = new PlainNbd(port, export)) {
            for (int i = 0; i < BLOCKS; i++) {
                ByteBuffer buffer = ByteBuffer.wrap(nbd.read((long) i * BLOCK, BLOCK));
                values[i] = buffer.getLong();
                while (buffer.hasRemaining()) {
                    assertThat(buffer.getLong()).as("block %d is torn", i).isEqualTo(values[i]);
                }
            }
        }
        return values;
    }

    /** One server process with the engine's connection to it. */
    private final class Host implements AutoCloseable {
        private final ServerProcess process;
        private final ManagedChannel channel;
        private final ArbiterGrpc.ArbiterBlockingStub arbiter;
        private final EpochsGrpc.EpochsBlockingStub epochs;

        Host() throws IOException {
            process = ServerProcess.start(log(), arguments());
            channel = NettyChannelBuilder.forAddress("127.0.0.1", process.controlPort())
                    .usePlaintext()
                    .build();
            arbiter = ArbiterGrpc.newBlockingStub(channel);
            epochs = EpochsGrpc.newBlockingStub(channel);
        }

        ArbiterRecord record() {
            return arbiter.get(GetRequest.newBuilder().setVm("vm1").build()).getRecord();
        }

        EpochReply seal(long generation, long epoch) {
            return epochs.seal(SealRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(generation)
                    .setEpoch(epoch)
                    .build());
        }

        EpochReply commit(long generation, long epoch) {
            return epochs.commit(CommitRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(generation)
                    .setEpoch(epoch)
                    .build());
        }

        @Override
        public void close() {
            channel.shutdownNow();
            process.close();
        }
    }

    @Test
    void killedUnderLoadItLosesNothingAcknowledgedAndNoEpoch() throws Exception {
        long seed = System.nanoTime();
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        Load load = new Load();
        NavigableMap<Long, long[]> snapshots = new TreeMap<>();
        long epoch = 0;
        long ackedCommit = 0;
        try (Host host = new Host()) {
            ArbiterRecord opened = host.arbiter
                    .open(OpenRequest.newBuilder()
                            .setVm("vm1")
                            .setHost("hostA")
                            .addVolumes("disk")
                            .build())
                    .getRecord();
            host.arbiter.beginProtect(BeginProtectRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(opened.getGeneration())
                    .setBackup("hostB")
                    .build());
            epoch++;
            assertThat(host.seal(host.record().getGeneration(), epoch).hasRefusal())
                    .isFalse();
            snapshots.put(epoch, load.acknowledged());
            assertThat(host.commit(host.record().getGeneration(), epoch).hasRefusal())
                    .isFalse();
            ackedCommit = epoch;
        }
        for (int round = 0; round < ROUNDS; round++) {
            try (Host host = new Host()) {
                ArbiterRecord record = host.record();
                assertThat(record.getCommittedEpoch()).isBetween(ackedCommit, epoch);
                assertThat(record.getSealedEpoch()).isIn(epoch - 1, epoch);
                epoch = record.getSealedEpoch();
                int port = host.process.nbdPort();
                String primary = "disk@" + record.getPrimaryGeneration();
                load.compare(readAll(port, primary));
                assertThat(readAll(port, "disk@" + record.getStandbyGeneration()))
                        .as("what epoch %d held", record.getCommittedEpoch())
                        .isEqualTo(snapshots.get(record.getCommittedEpoch()));

                load.start(port, primary, random);
                Thread killer = killAfter(host, 1 + random.nextInt(40));
                try {
                    while (true) {
                        load.pause.writeLock().lock();
                        try {
                            epoch++;
                            snapshots.put(epoch, load.acknowledged());
                            assertThat(host.seal(record.getGeneration(), epoch).hasRefusal())
                                    .isFalse();
                        } finally {
                            load.pause.writeLock().unlock();
                        }
                        if (random.nextInt(4) > 0) {
                            EpochReply reply = host.commit(record.getGeneration(), epoch);
                            assertThat(reply.hasRefusal())
                                    .as(reply.getRefusal().getMessage())
                                    .isFalse();
                            ackedCommit = epoch;
                        }
                    }
                } catch (StatusRuntimeException e) {
                    // Killed: whether the last seal or commit counts is not known.
                }
                killer.join();
                load.awaitEnd();
            }
        }
        try (Host host = new Host()) {
            ArbiterRecord record = host.record();
            TakeOverReply taken = host.arbiter.takeOver(TakeOverRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(record.getGeneration())
                    .setHost("hostB")
                    .setOldestEpoch(record.getCommittedEpoch())
                    .setNewestEpoch(record.getSealedEpoch())
                    .build());
            assertThat(taken.hasRefusal()).isFalse();
            load.reset(Objects.requireNonNull(snapshots.get(taken.getEpoch())));
            load.compare(
                    readAll(host.process.nbdPort(), "disk@" + taken.getRecord().getPrimaryGeneration()));
            host.process.kill();
        }
        try (Host host = new Host()) {
            load.compare(readAll(host.process.nbdPort(), "disk@" + host.record().getPrimaryGeneration()));
            assertThat(host.process.terminate()).isZero();
        }
        assertThat(Files.readString(log())).doesNotContain("ERROR");
    }

    /** Kills when so many further epochs were sealed, in the middle of whatever goes on. */
    private static Thread killAfter(Host host, int epochs) {
        return Thread.ofPlatform().daemon().start(() -> {
            long until = -1;
            try {
                while (true) {
                    long sealed = host.record().getSealedEpoch();
                    until = until < 0 ? sealed + epochs : until;
                    if (sealed >= until) {
                        host.process.kill();
                        return;
                    }
                }
            } catch (StatusRuntimeException e) {
                throw new AssertionError("killed by somebody else", e);
            }
        });
    }

    @Test
    void wrongArgumentsAreOneClearLineAndTheRightExitStatus() throws Exception {
        expect(2, "--listen", without("--listen"));
        expect(2, "NAME=IMAGE", with("--volume", "disk"));
        expect(2, "20X", with("--volume", "disk=" + directory.resolve("d") + ",size=20X"));
        expect(2, "volume name", with("--volume", "a@b=" + directory.resolve("d")));
        expect(2, "HOST:PORT", with("--control", "nowhere"));
        expect(1, "does not exist", with("--volume", "disk=" + directory.resolve("missing")));
        Files.createFile(directory.resolve("empty"));
        expect(1, "is empty", with("--volume", "disk=" + directory.resolve("empty")));
        Files.write(directory.resolve("small"), new byte[8192]);
        expect(1, "8192 bytes", with("--volume", "disk=" + directory.resolve("small") + ",size=1M"));
        expect(1, "--data", with("--data", directory.resolve("small").toString()));
    }

    @Test
    void aFileOfSettingsAndTheCommandLineGoTogether() throws Exception {
        Path file = Files.writeString(directory.resolve("blk.yaml"), """
                data: data
                listen:
                  - 127.0.0.1:0
                  - "[::1]:0"
                  - unix:nbd.sock,mode=0660
                control: 127.0.0.1:0
                volumes:
                  one: {image: one.img, create: 1M}
                  two: {image: two.img, create: 2M, readonly: false}
                """);
        String three = "three=" + directory.resolve("three.img") + ",create=3M";
        try (ServerProcess server = ServerProcess.start(log(), "--config", file.toString(), "--volume", three)) {
            String socket = directory.resolve("nbd.sock").toString();
            for (String export : List.of("one", "two", "three")) {
                assertThat(server.readyLine())
                        .containsPattern("nbd://127.0.0.1:\\d+/" + export)
                        .containsPattern("nbd://\\[::1]:\\d+/" + export)
                        .contains("nbd+unix:///" + export + "?socket=" + socket);
            }
            assertThat(Files.getPosixFilePermissions(Path.of(socket)))
                    .hasToString("[OWNER_READ, OWNER_WRITE, GROUP_READ, GROUP_WRITE]");
            assertThat(server.terminate()).isZero();
        }
        try (ServerProcess server =
                ServerProcess.start(log(), "--config", file.toString(), "--listen", "127.0.0.1:0")) {
            assertThat(server.readyLine()).doesNotContain("::1", "nbd.sock");
            assertThat(server.terminate()).isZero();
        }
        String two = "two=" + directory.resolve("other.img") + ",create=3M";
        expect(2, "blk.yaml:9 declares volume two too", "--config", file.toString(), "--volume", two);
        expect(2, "volume x is named twice", "--config", file.toString(), "--volume", "x=a", "--volume", "x=b");
        expect(1, "does not exist", "grow", "--data", directory.resolve("none").toString(), "one", "2M");
        Files.writeString(file, "volumes: {one: {imgae: x}}\n");
        expect(2, "blk.yaml:1: volumes.one.imgae: unknown key", "--config", file.toString());
        expect(2, "no such file", "--config", directory.resolve("none.yaml").toString());
    }

    @Test
    void growEnlargesAndTheServerServesTheNewSize() throws Exception {
        try (ServerProcess server = ServerProcess.start(log(), arguments())) {
            assertThat(server.terminate()).isZero();
        }
        String data = directory.resolve("data").toString();
        assertThat(ServerProcess.run(log(), "grow", "--data", data, "disk", "8M"))
                .isZero();
        assertThat(directory.resolve("disk.img")).hasSize(8 << 20);
        Path file = Files.writeString(directory.resolve("blk.yaml"), "data: data\n");
        assertThat(ServerProcess.run(log(), "grow", "--config", file.toString(), "disk", "9M"))
                .isZero();
        expect(1, "never shrinks", "grow", "--data", data, "disk", "8M");
        expect(2, "not a size", "grow", "--data", data, "disk", "big");
        expect(2, "SIZE", "grow", "--data", data, "disk");
        expect(2, "name the server's directory", "grow", "disk", "8M");
        try (ServerProcess server = ServerProcess.start(log(), arguments());
                PlainNbd nbd = new PlainNbd(server.nbdPort(), "disk")) {
            assertThat(nbd.read((9 << 20) - BLOCK, BLOCK)).containsOnly(0);
        }
    }

    @Test
    void aSecondServerOnTheSameDataOrImageOrPortIsRefused() throws Exception {
        try (ServerProcess server = ServerProcess.start(log(), arguments())) {
            expect(1, "in use by another block server", arguments());
            expect(
                    1,
                    "in use by another server",
                    with("--data", directory.resolve("other").toString()));
            String[] samePort = with("--data", directory.resolve("other").toString());
            samePort = replace(samePort, "--volume", "disk=" + directory.resolve("other.img") + ",size=1M");
            expect(1, "cannot listen for control", replace(samePort, "--control", "127.0.0.1:" + server.controlPort()));
            expect(1, "cannot listen", replace(samePort, "--listen", "127.0.0.1:" + server.nbdPort()));
            assertThat(server.readyLine()).contains("/disk");
            assertThat(server.terminate()).isZero();
        }
        try (ServerProcess again = ServerProcess.start(log(), arguments())) {
            assertThat(again.terminate()).isZero();
        }
        Files.write(directory.resolve("disk.img"), new byte[8192]);
        expect(1, "restore the image", replace(arguments(), "--volume", "disk=" + directory.resolve("disk.img")));
    }

    private void expect(int status, String text, String... arguments) throws Exception {
        Path errors = Files.createTempFile(directory, "errors", ".log");
        assertThat(ServerProcess.run(errors, arguments)).isEqualTo(status);
        List<String> said = Files.readAllLines(errors).stream()
                .filter(line -> line.startsWith("blk-server: "))
                .toList();
        assertThat(said).hasSize(1);
        assertThat(said.getFirst()).contains(text);
    }

    private String[] with(String option, String value) {
        return replace(arguments(), option, value);
    }

    private String[] without(String option) {
        List<String> kept = new ArrayList<>(List.of(arguments()));
        int at = kept.indexOf(option);
        kept.remove(at);
        kept.remove(at);
        return kept.toArray(String[]::new);
    }

    private static String[] replace(String[] arguments, String option, String value) {
        String[] replaced = arguments.clone();
        replaced[List.of(arguments).indexOf(option) + 1] = value;
        return replaced;
    }
}
