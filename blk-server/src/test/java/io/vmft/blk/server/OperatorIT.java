package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.grpc.ManagedChannel;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.NettyChannelBuilder;
import io.vmft.blk.journal.RecordHeader;
import io.vmft.blk.server.ServerProcess.Result;
import io.vmft.proto.blk.v1.ArbiterGrpc;
import io.vmft.proto.blk.v1.ArbiterRecord;
import io.vmft.proto.blk.v1.BeginProtectRequest;
import io.vmft.proto.blk.v1.CommitRequest;
import io.vmft.proto.blk.v1.EpochsGrpc;
import io.vmft.proto.blk.v1.GetRequest;
import io.vmft.proto.blk.v1.OpenRequest;
import io.vmft.proto.blk.v1.SealRequest;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** An operator's commands, as processes, on a server under load and after it was killed. */
class OperatorIT {
    private static final int BLOCK = 4096;
    private static final int BLOCKS = 512;
    private static final int RECORD_MAGIC = 0x564D4A31;

    @TempDir
    private Path directory;

    private String[] arguments() {
        return new String[] {
            "--data",
            data(),
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
            "--journal-limit",
            "32M",
            "--journal-segment",
            "1M",
            "--volume",
            "disk=" + directory.resolve("disk.img") + ",create=" + BLOCKS * BLOCK / 1024 + "K"
        };
    }

    private String data() {
        return directory.resolve("data").toString();
    }

    private Path log() {
        return directory.resolve("server.log");
    }

    private Result command(String... arguments) throws Exception {
        Result result = ServerProcess.result(arguments);
        System.out.println(
                String.join(" ", arguments) + " -> " + result.status() + "\n" + result.output() + result.errors());
        return result;
    }

    private void expect(int status, String text, String... arguments) throws Exception {
        Result result = command(arguments);
        assertThat(result.status()).isEqualTo(status);
        assertThat(result.errors().lines())
                .hasSize(1)
                .allSatisfy(line -> assertThat(line).contains(text));
    }

    /** A protected VM that writes and ends an epoch every 25 ms at most, until its server is gone. */
    private static final class Guest implements AutoCloseable {
        private final ManagedChannel channel;
        private final ArbiterGrpc.ArbiterBlockingStub arbiter;
        private final EpochsGrpc.EpochsBlockingStub epochs;
        private final int port;
        private volatile boolean commits = true;
        /** What the disk held at the end of each epoch, a number for each block. */
        private final ConcurrentSkipListMap<Long, long[]> snapshots = new ConcurrentSkipListMap<>();

        Guest(ServerProcess server) {
            port = server.nbdPort();
            channel = NettyChannelBuilder.forAddress("127.0.0.1", server.controlPort())
                    .usePlaintext()
                    .build();
            arbiter = ArbiterGrpc.newBlockingStub(channel);
            epochs = EpochsGrpc.newBlockingStub(channel);
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
        }

        Thread run() {
            ArbiterRecord record = record();
            return Thread.ofPlatform().daemon().start(() -> {
                Random random = new Random(7);
                long[] now = new long[BLOCKS];
                long value = 0;
                try (PlainNbd nbd = new PlainNbd(port, "disk@" + record.getPrimaryGeneration())) {
                    for (long epoch = 1; ; epoch++) {
                        for (int i = 0; i < 10 && epoch > 1; i++) {
                            int block = random.nextInt(BLOCKS);
                            now[block] = ++value;
                            nbd.write((long) block * BLOCK, filled(value));
                        }
                        snapshots.put(epoch, now.clone());
                        epochs.seal(SealRequest.newBuilder()
                                .setVm("vm1")
                                .setGeneration(record.getGeneration())
                                .setEpoch(epoch)
                                .build());
                        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(25));
                        if (commits && epoch % 4 != 3) {
                            epochs.commit(CommitRequest.newBuilder()
                                    .setVm("vm1")
                                    .setGeneration(record.getGeneration())
                                    .setEpoch(epoch)
                                    .build());
                        }
                    }
                } catch (IOException | StatusRuntimeException e) {
                    // The server was killed, or this VM was forced off it: what this test is about.
                }
            });
        }

        /** From now on nothing is committed; returns when some epochs are sealed and not committed. */
        void stopCommitting() {
            commits = false;
            long newest = snapshots.lastKey();
            Awaitility.await().until(() -> snapshots.lastKey() > newest + 4);
        }

        private static byte[] filled(long value) {
            ByteBuffer data = ByteBuffer.allocate(BLOCK);
            while (data.hasRemaining()) {
                data.putLong(value);
            }
            return data.array();
        }

        @Override
        public void close() {
            channel.shutdownNow();
        }
    }

    private static long[] content(Path file) throws IOException {
        ByteBuffer all = ByteBuffer.wrap(Files.readAllBytes(file));
        assertThat(all.remaining()).isEqualTo(BLOCKS * BLOCK);
        long[] blocks = new long[BLOCKS];
        for (int i = 0; i < BLOCKS; i++) {
            blocks[i] = all.getLong(i * BLOCK);
            for (int at = 0; at < BLOCK; at += 8) {
                assertThat(all.getLong(i * BLOCK + at)).as("block %d", i).isEqualTo(blocks[i]);
            }
        }
        return blocks;
    }

    private static long epochNamed(Result result) {
        Matcher epoch = Pattern.compile("epoch (\\d+)").matcher(result.output());
        assertThat(epoch.find()).as(result.output()).isTrue();
        return Long.parseLong(epoch.group(1));
    }

    @Test
    void commandsOnAServerUnderLoadAndAfterItWasKilled() throws Exception {
        Path out = directory.resolve("out.img");
        Map<Long, long[]> snapshots;
        try (ServerProcess server = ServerProcess.start(log(), arguments());
                Guest guest = new Guest(server)) {
            snapshots = guest.snapshots;
            String control = "127.0.0.1:" + server.controlPort();
            guest.protect();
            Thread load = guest.run();
            Awaitility.await().until(() -> guest.snapshots.size() > 40);

            expect(2, "is asked with --control " + control, "check", "--data", data());
            Result check = command("check", "--control", control);
            assertThat(check.status()).as(check.output()).isZero();
            assertThat(check.output()).contains("consistent: looked at 1 volumes, 1 VMs");
            JsonNode listed = new ObjectMapper()
                    .readTree(command("journal", "ls", "--json", "--control", control)
                            .output());
            assertThat(listed.path("epochs")).isNotEmpty();
            assertThat(listed.path("segments")).isNotEmpty();
            assertThat(command("arbiter", "show", "vm1", "--control", control).output())
                    .containsPattern("primary +hostA")
                    .contains("opened by hostA", "syncing backup hostB", "protected by hostB from epoch 1");
            Result exported =
                    command("export-epoch", "disk", "committed", "--to", out.toString(), "--control", control);
            assertThat(exported.status()).isZero();
            assertThat(content(out)).isEqualTo(snapshots.get(epochNamed(exported)));
            Files.delete(out);
            expect(
                    1,
                    "its last commit only",
                    "export-epoch",
                    "disk",
                    "3",
                    "--to",
                    out.toString(),
                    "--control",
                    control);
            expect(
                    1,
                    "no volume none",
                    "export-epoch",
                    "none",
                    "committed",
                    "--to",
                    out.toString(),
                    "--control",
                    control);
            assertThat(load.isAlive())
                    .as("nothing of all that disturbed the VM")
                    .isTrue();
            guest.stopCommitting();
            server.kill();
            load.join();
        }
        assertThat(out).doesNotExist();
        Result check = command("check", "--data", data());
        assertThat(check.status()).as(check.output()).isZero();
        JsonNode listed = new ObjectMapper()
                .readTree(command("journal", "ls", "--json", "--data", data()).output());
        exportsWhatWasHeld(listed, snapshots, out);
        oneFlippedByteIsFound(listed);
    }

    private void exportsWhatWasHeld(JsonNode listed, Map<Long, long[]> snapshots, Path out) throws Exception {
        Result exported = command("export-epoch", "disk", "committed", "--to", out.toString(), "--data", data());
        long committed = epochNamed(exported);
        assertThat(content(out)).isEqualTo(snapshots.get(committed));
        Files.delete(out);
        assertThat(listed.path("epochs"))
                .anySatisfy(epoch -> assertThat(epoch.path("state").asText()).isEqualTo("sealed"));
        for (JsonNode epoch : listed.path("epochs")) {
            if (epoch.path("state").asText().equals("sealed")) {
                long number = epoch.path("epoch").asLong();
                Result sealed = command(
                        "export-epoch", "disk", Long.toString(number), "--to", out.toString(), "--data", data());
                assertThat(sealed.status()).as(sealed.errors()).isZero();
                assertThat(content(out)).isEqualTo(snapshots.get(number));
                Files.delete(out);
            }
        }
    }

    /** In what was written and not committed, which is in no image; records follow, so it is no torn end. */
    private void oneFlippedByteIsFound(JsonNode listed) throws Exception {
        long sequence = 0;
        for (JsonNode epoch : listed.path("epochs")) {
            if (epoch.path("state").asText().equals("sealed")) {
                sequence = epoch.path("first_sequence").asLong();
            }
        }
        for (JsonNode holder : listed.path("segments")) {
            if (sequence >= holder.path("first_sequence").asLong()
                    && sequence <= holder.path("last_sequence").asLong()) {
                oneFlippedByteIsFound(Path.of(holder.path("file").asText()), sequence);
                return;
            }
        }
        throw new AssertionError("no segment holds record " + sequence);
    }

    private void oneFlippedByteIsFound(Path segment, long sequence) throws Exception {
        ByteBuffer records = ByteBuffer.wrap(Files.readAllBytes(segment));
        int at = 0;
        while (records.getInt(at) != RECORD_MAGIC || records.getLong(at + 16) != sequence) {
            at += RecordHeader.BYTES;
        }
        try (RandomAccessFile bytes = new RandomAccessFile(segment.toFile(), "rw")) {
            bytes.seek(at + RecordHeader.BYTES + 100);
            bytes.write(records.get(at + RecordHeader.BYTES + 100) ^ 1);
        }
        Result check = command("check", "--data", data());
        assertThat(check.status()).isEqualTo(1);
        assertThat(check.output()).contains(segment.toString(), "wrong", "INCONSISTENT");
    }

    @Test
    void forceAsksForTheNameCutsConnectionsAtOnceAndStandsInTheHistory() throws Exception {
        try (ServerProcess server = ServerProcess.start(log(), arguments());
                Guest guest = new Guest(server)) {
            String control = "127.0.0.1:" + server.controlPort();
            guest.protect();
            Thread load = guest.run();
            Awaitility.await().until(() -> guest.snapshots.size() > 10);
            long generation = guest.record().getGeneration();
            String[] force = {"arbiter", "force", "vm1", "--close", "--reason", "a test", "--control", control};
            expect(2, "no terminal", force);
            expect(1, "nothing was changed", with(force, "--confirm", "vm2"));
            typed(force, "no such name");
            assertThat(guest.record().getGeneration()).isEqualTo(generation);
            assertThat(load.isAlive()).isTrue();

            Result forced = command(with(force, "--confirm", "vm1"));
            assertThat(forced.status()).isZero();
            assertThat(forced.output()).contains("vm1 is CLOSED");
            load.join(TimeUnit.SECONDS.toMillis(30));
            assertThat(load.isAlive()).as("its connection was cut").isFalse();
            assertThat(command("arbiter", "show", "vm1", "--control", control).output())
                    .contains("closed by force: a test");
            assertThatThrownBy(() -> new PlainNbd(server.nbdPort(), "disk@" + generation))
                    .isInstanceOf(IOException.class);
            try (PlainNbd bare = new PlainNbd(server.nbdPort(), "disk")) {
                assertThat(bare.read(0, BLOCK)).hasSize(BLOCK);
            }
            guest.protect();
            server.kill();
        }
        assertThat(Files.readString(log())).contains("CLOSE forced by", "closed by force: a test");
        String[] offline = {"arbiter", "force", "vm1", "--solo", "hostC", "--reason", "a test", "--data", data()};
        typed(offline, "vm1");
        assertThat(command("check", "--data", data()).status()).isZero();
        try (ServerProcess server = ServerProcess.start(log(), arguments());
                Guest guest = new Guest(server)) {
            assertThat(guest.record().getPrimary()).isEqualTo("hostC");
            assertThat(server.terminate()).isZero();
        }
    }

    /** On a terminal. */
    private void typed(String[] arguments, String line) throws Exception {
        Path script = Path.of("/usr/bin/script");
        Assumptions.assumeTrue(Files.isExecutable(script), "util-linux's script is not here to make a terminal");
        String command = String.join(
                " ",
                ServerProcess.command(arguments).stream()
                        .map(word -> "'" + word + "'")
                        .toList());
        Process process = new ProcessBuilder(script.toString(), "-qec", command, "/dev/null")
                .redirectErrorStream(true)
                .start();
        process.getOutputStream().write((line + "\n").getBytes(StandardCharsets.UTF_8));
        process.getOutputStream().flush();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(output).contains("Type the VM's name", line.equals("vm1") ? "vm1 is " : "nothing was changed");
    }

    private static String[] with(String[] arguments, String... more) {
        List<String> all = new ArrayList<>(List.of(arguments));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }
}
