package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.blk.nbd.Tool;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Backups as {@code docs/backup.md} tells users to make them, with stock tools, from a server process under load that is killed in between. Each
 * write carries its number, so that a file shows which moment it holds: it must be the end of an epoch, whole.
 */
class BackupIT {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 4096;
    private static final int EPOCH_WRITES = 40;
    private static final Pattern POINT = Pattern.compile(", point (\\d+)");

    @TempDir
    private Path directory;

    /** Numbers of the last writes of epochs, noted before they are sealed. */
    private final Set<Long> epochEnds = new ConcurrentSkipListSet<>(Set.of(0L));

    private final AtomicLong acknowledged = new AtomicLong();

    /** A server process, and one client that writes and seals until the process is gone. */
    private final class Host implements AutoCloseable {
        private final ServerProcess process;
        private final ManagedChannel channel;
        private final ArbiterGrpc.ArbiterBlockingStub arbiter;
        private final EpochsGrpc.EpochsBlockingStub epochs;
        private Thread writer = new Thread(() -> {});

        Host() throws IOException {
            process = ServerProcess.start(
                    directory.resolve("server.log"),
                    "--data",
                    directory.resolve("data").toString(),
                    "--listen",
                    "127.0.0.1:0",
                    "--control",
                    "127.0.0.1:0",
                    "--volume",
                    "disk=" + directory.resolve("disk.img") + ",create=" + BLOCKS * BLOCK / 1024 + "K");
            channel = NettyChannelBuilder.forAddress("127.0.0.1", process.controlPort())
                    .usePlaintext()
                    .build();
            arbiter = ArbiterGrpc.newBlockingStub(channel);
            epochs = EpochsGrpc.newBlockingStub(channel);
        }

        String uri() {
            return "nbd://127.0.0.1:" + process.nbdPort() + "/disk@committed";
        }

        ArbiterRecord record() {
            return arbiter.get(GetRequest.newBuilder().setVm("vm1").build()).getRecord();
        }

        void protect() {
            ArbiterRecord opened = arbiter.open(OpenRequest.newBuilder()
                            .setVm("vm1")
                            .setHost("hostA")
                            .addVolumes("disk")
                            .build())
                    .getRecord();
            arbiter.beginProtect(BeginProtectRequest.newBuilder()
                    .setVm("vm1")
                    .setGeneration(opened.getGeneration())
                    .setBackup("hostB")
                    .build());
            sealAndCommit(record().getGeneration(), 1);
        }

        void write() {
            ArbiterRecord record = record();
            writer = Thread.ofPlatform().start(() -> {
                try (PlainNbd nbd = new PlainNbd(process.nbdPort(), "disk@" + record.getPrimaryGeneration())) {
                    write(nbd, record.getGeneration(), record.getSealedEpoch() + 1);
                } catch (IOException | StatusRuntimeException e) {
                    // Killed: what this test is about.
                }
            });
        }

        private void write(PlainNbd nbd, long generation, long firstEpoch) throws IOException {
            long epoch = firstEpoch;
            for (long number = acknowledged.get() + 1; ; number++) {
                ByteBuffer data = ByteBuffer.allocate(BLOCK);
                while (data.hasRemaining()) {
                    data.putLong(number);
                }
                nbd.write((long) block(number) * BLOCK, data.array());
                acknowledged.set(number);
                if (number % EPOCH_WRITES == 0) {
                    epochEnds.add(number);
                    sealAndCommit(generation, epoch++);
                }
            }
        }

        private void sealAndCommit(long generation, long epoch) {
            assertThat(epochs.seal(SealRequest.newBuilder()
                                    .setVm("vm1")
                                    .setGeneration(generation)
                                    .setEpoch(epoch)
                                    .build())
                            .hasRefusal())
                    .isFalse();
            assertThat(epochs.commit(CommitRequest.newBuilder()
                                    .setVm("vm1")
                                    .setGeneration(generation)
                                    .setEpoch(epoch)
                                    .build())
                            .hasRefusal())
                    .isFalse();
        }

        void awaitMore(int writes) {
            long from = acknowledged.get();
            Awaitility.await().atMost(Duration.ofSeconds(60)).until(() -> acknowledged.get() > from + writes);
        }

        void kill() {
            process.kill();
            Awaitility.await().until(() -> !writer.isAlive());
        }

        @Override
        public void close() {
            channel.shutdownNow();
            kill();
        }
    }

    /** Scattered within a part of the disk, so that much of it does not change; the part moves on with time. */
    private static int block(long number) {
        long part = number / 2_000 % 8;
        return (int) (part * (BLOCKS / 8) + number * 7919 % (BLOCKS / 8));
    }

    /** Which write the file is at, which must be the end of an epoch and whole. */
    private long moment(Path file) throws IOException {
        ByteBuffer data = ByteBuffer.wrap(Files.readAllBytes(file));
        assertThat(data.remaining()).isEqualTo(BLOCKS * BLOCK);
        long[] found = new long[BLOCKS];
        long last = 0;
        for (int block = 0; block < BLOCKS; block++) {
            found[block] = data.getLong(block * BLOCK);
            for (int i = 0; i < BLOCK; i += 8) {
                assertThat(data.getLong(block * BLOCK + i))
                        .as("block %d is torn", block)
                        .isEqualTo(found[block]);
            }
            last = Math.max(last, found[block]);
        }
        long[] expected = new long[BLOCKS];
        for (long number = 1; number <= last; number++) {
            expected[block(number)] = number;
        }
        assertThat(found).as("everything up to write %d", last).isEqualTo(expected);
        assertThat(epochEnds).contains(last);
        return last;
    }

    /** The script that docs/backup.md gives. */
    private Path script() throws IOException {
        String text = Files.readString(Path.of("..", "docs", "backup.md"));
        Matcher block = Pattern.compile("```python\n(.*?)```", Pattern.DOTALL).matcher(text);
        assertThat(block.find()).isTrue();
        return Files.writeString(directory.resolve("incremental.py"), block.group(1));
    }

    private static String point(String text) {
        Matcher point = POINT.matcher(text);
        assertThat(point.find()).as(text).isTrue();
        return point.group(1);
    }

    private static String update(Path script, String uri, Path image, String since) throws Exception {
        return Tool.ok("/usr/bin/python3", script.toString(), uri, image.toString(), since)
                .strip();
    }

    @Test
    void fullAndIncrementalBackupsOfARunningVmAreWholeEpochs() throws Exception {
        Tool.assumeInstalled("nbdcopy", "nbdinfo", "qemu-img");
        assumeTrue(
                Files.exists(Path.of("/usr/bin/python3"))
                        && Tool.run("/usr/bin/python3", "-c", "import nbd").exitStatus() == 0,
                "python3-libnbd is not installed");
        Path script = script();
        Path backup = directory.resolve("backup.img");
        String point;
        long moment;
        try (Host host = new Host()) {
            host.protect();
            host.write();
            host.awaitMore(500);
            point = point(Tool.ok("nbdinfo", host.uri()));
            Tool.ok("nbdcopy", "--connections=4", host.uri(), backup.toString());
            moment = moment(backup);
            assertThat(moment).isPositive();
            Path converted = directory.resolve("converted.img");
            Tool.ok("qemu-img", "convert", "-f", "raw", "-O", "raw", host.uri(), converted.toString());
            assertThat(moment(converted)).isGreaterThanOrEqualTo(moment);

            host.awaitMore(300);
            point = update(script, host.uri(), backup, point);
            long next = moment(backup);
            assertThat(next).isGreaterThan(moment);
            moment = next;
        }
        for (int round = 0; round < 3; round++) {
            try (Host host = new Host()) {
                String map = Tool.ok("nbdinfo", "--map=vmft:epoch-dirty:" + point, host.uri());
                assertThat(map.lines().map(line -> line.strip().split(" +", -1)[2]))
                        .as(map)
                        .contains("0", "1");
                host.write();
                host.awaitMore(400);
                point = update(script, host.uri(), backup, point);
                long next = moment(backup);
                assertThat(next).isGreaterThan(moment);
                moment = next;
                host.awaitMore(100);
                host.kill();
            }
        }
        assertThat(Files.readString(directory.resolve("server.log"))).doesNotContain("ERROR");
    }
}
