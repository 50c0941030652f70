package io.vmft.engine.cluster;

import static io.vmft.engine.cluster.TestCluster.ask;
import static io.vmft.engine.cluster.TestCluster.await;
import static io.vmft.engine.cluster.TestCluster.awaitEpochs;
import static io.vmft.engine.cluster.TestCluster.awaitProtected;
import static io.vmft.engine.cluster.TestCluster.killQemu;
import static io.vmft.engine.cluster.TestCluster.status;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.engine.Engine;
import io.vmft.engine.EngineException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Who runs the VM when something of it dies. */
@Timeout(180)
class TakeOverIT {
    private static final long SAME_TIME_NANOS = TimeUnit.MICROSECONDS.toNanos(300);

    private static final Duration SHORTEST_QEMU_TIMEOUT = Duration.ofSeconds(5);
    private static final String TAKING_OVER = "taking over";

    @TempDir
    Path directory;

    @ParameterizedTest
    @ValueSource(strings = {"kvm", "tcg"})
    void whenThePrimarysQemuDiesTheStandbyGoesOn(String accelerator) throws Exception {
        TestCluster.assumeItCanRun(accelerator);
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", accelerator, protection(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 20);
            killQemu(primary);

            await().until(() -> status(standby).path("role").asText().equals("primary"));
            assertThat(status(standby).path("mode").asText()).isEqualTo("solo");
            assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("signal 9");
            byte[] before = Files.readAllBytes(cluster.ram("b", "vm1"));
            await("the guest to write its memory on")
                    .until(() -> !java.util.Arrays.equals(before, Files.readAllBytes(cluster.ram("b", "vm1"))));
        }
    }

    /** Some time passes between QEMU's end and that it is known: its sockets are closed, and no checkpoint can be made any more. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aQemuThatTakesLongToEndIsTakenOverIfItDiedAndNotIfItWasEnded(boolean dies) throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file(
                    "vm1",
                    "tcg",
                    "qemu: %s\n%s"
                            .formatted(
                                    cluster.qemuThatEndsLate(),
                                    protection(address).replace("10ms", "5ms")));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 20);
            if (dies) {
                killQemu(primary);
                await().until(() -> status(standby).path("mode").asText().equals("solo"));
                assertThat(status(standby).path("role").asText()).isEqualTo("primary");
            } else {
                ask(primary, "stop");
                assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                        .isNull();
                await().until(() -> status(standby).path("state").asText().equals("waiting"));
                assertThat(status(standby).path("role").asText()).isEqualTo("standby");
            }
        }
    }

    /** Its connections stay open and its host is well: only that it does not answer tells. */
    @Test
    void aQemuThatHangsIsLeftToTheBackup() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", withShortestQemuTimeout(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 20);
            long stopped = stopQemu(primary);
            await().until(() -> status(standby).path("role").asText().equals("primary"));
            assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                    .isInstanceOf(EngineException.class)
                    .hasMessageMatching("vm1: left to the backup: QEMU has not answered for \\d+ s; .*signal 9.*");
            assertThat(ProcessHandle.of(stopped)).isEmpty();
        }
    }

    /** It may be waiting for its disk, which is behind the same block server. */
    @Test
    void aQemuIsNotBlamedWhileTheBlockServerDoesNotAnswer() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy storage = new SlowProxy(cluster.control())) {
            Path file = cluster.fileBehind(storage, "vm1", "tcg", withShortestQemuTimeout(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 20);
            stopQemu(primary);
            // First it answers nothing, then its connections are gone too.
            storage.delay(TestCluster.PATIENCE.toMillis());
            TimeUnit.MILLISECONDS.sleep(SHORTEST_QEMU_TIMEOUT.toMillis());
            storage.cut();
            TimeUnit.MILLISECONDS.sleep(SHORTEST_QEMU_TIMEOUT.toMillis());
            assertThat(status(primary).path("mode").asText()).isEqualTo("protected");
            assertThat(status(standby).path("state").asText()).isEqualTo("holding");
            storage.lift();
            await().until(() -> status(standby).path("role").asText().equals("primary"));
            // Before the proxy goes: an engine ends only when the block server has heard of it.
            standby.stop("the test ends").join();
        }
    }

    @Test
    void aQemuThatHangsIsKilledWhereTheVmIsToEnd() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        try (TestCluster cluster = new TestCluster(directory)) {
            Engine primary = cluster.run(cluster.file("vm1", "tcg", ""), "a");
            long stopped = stopQemu(primary);
            ask(primary, "stop");
            assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                    .isNull();
            assertThat(ProcessHandle.of(stopped)).isEmpty();
        }
    }

    private static long stopQemu(Engine engine) throws Exception {
        long pid = status(engine).path("qemu_pid").asLong();
        assertThat(new ProcessBuilder("kill", "-STOP", String.valueOf(pid))
                        .start()
                        .waitFor())
                .isZero();
        return pid;
    }

    private static String withShortestQemuTimeout(String address) {
        return protection(address)
                .replace("epoch:", "qemu_timeout: %ds, epoch:".formatted(SHORTEST_QEMU_TIMEOUT.toSeconds()));
    }

    /** It is held at a checkpoint for a while, so that the gap is long against what else takes time. */
    @Test
    void inATakeoverTheGuestsTimeStampCounterGoesOnByTheGap() throws Exception {
        TestCluster.assumeItCanRun("kvm");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "kvm", protection(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            await("the guest behind its firmware").until(() -> timeStampCounter(cluster.ram("a", "vm1")) != 0);
            Moment first = moment(cluster.ram("a", "vm1"));
            TimeUnit.SECONDS.sleep(1);
            Moment second = moment(cluster.ram("a", "vm1"));
            double ticksPerNano = (second.counter - first.counter) / (double) (second.nanos - first.nanos);
            ask(primary, "pause");
            long stopped = timeStampCounter(cluster.ram("a", "vm1"));
            TimeUnit.SECONDS.sleep(2);
            killQemu(primary);
            await().until(() -> timeStampCounter(cluster.ram("b", "vm1")) != stopped);
            Moment after = moment(cluster.ram("b", "vm1"));
            double stoppedNanos = second.nanos + (stopped - second.counter) / ticksPerNano;
            assertThat((after.counter - stopped) / (ticksPerNano * (after.nanos - stoppedNanos)))
                    .as("what of the gap the guest's counter has gone on by")
                    .isBetween(0.9, 1.05);
            assertThat(status(standby).path("role").asText()).isEqualTo("primary");
        }
    }

    private record Moment(long counter, long nanos) {}

    /** The guest's counter and the host's clock at the same time, within some tenths of a millisecond, whoever else has the processors. */
    private static Moment moment(Path ram) throws IOException {
        long before = timeStampCounter(ram);
        long beforeNanos = System.nanoTime();
        while (true) {
            long counter = timeStampCounter(ram);
            long nanos = System.nanoTime();
            if (counter != before && nanos - beforeNanos < SAME_TIME_NANOS) {
                return new Moment(counter, nanos);
            }
            before = counter;
            beforeNanos = nanos;
        }
    }

    /** At the guest's last write, where it shows it. */
    private static long timeStampCounter(Path ram) throws IOException {
        try (FileChannel file = FileChannel.open(ram)) {
            ByteBuffer bytes = ByteBuffer.allocate(Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            file.read(bytes, 0x200000 + 40);
            return bytes.getLong(0);
        }
    }

    @Test
    void aLostBackupLeavesThePrimaryRunningAloneAndANewOneIsTaken() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", protection(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            long generation = status(primary).path("generation").asLong();
            standby.stop("the test takes the backup away").get(20, TimeUnit.SECONDS);
            await().until(() -> status(primary).path("mode").asText().equals("solo"));
            assertThat(status(primary).path("generation").asLong()).isGreaterThan(generation);
            standby.close();
            cluster.standby(file, "c");
            awaitProtected(primary);
            awaitEpochs(primary, 5);
        }
    }

    /** Both ask, for neither reaches the block server; only the primary still has a VM to run. */
    @Test
    void aStandbyWhoseQemuDiesWhileItAsksFencesNobody() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory);
                SlowProxy storage = new SlowProxy(cluster.control());
                SlowProxy link = new SlowProxy(address)) {
            Path file = cluster.fileBehind(storage, "vm1", "tcg", protection(link.address(), address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            awaitEpochs(primary, 5);
            storage.cut();
            link.cut();
            await().until(() -> status(standby).path("state").asText().equals(TAKING_OVER));
            killQemu(standby);
            await().until(() -> !status(standby).path("state").asText().equals(TAKING_OVER));
            storage.lift();
            await().until(() -> status(primary).path("mode").asText().equals("solo"));
            assertThat(status(standby).path("role").asText()).isEqualTo("standby");
            link.lift();
            awaitProtected(primary);
            awaitEpochs(primary, 5);
            // Before the proxies go: an engine ends only when the block server has heard of it.
            primary.stop("the test ends").join();
        }
    }

    @Test
    void aVmThatEndsOnPurposeIsNotTakenOver() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", protection(address));
            Engine primary = cluster.run(file, "a");
            Engine standby = cluster.standby(file, "b");
            awaitProtected(primary);
            ask(primary, "stop");
            assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                    .isNull();
            await().until(() -> status(standby).path("state").asText().equals("waiting"));
            assertThat(status(standby).path("role").asText()).isEqualTo("standby");
        }
    }

    /** With a backup its next commit is refused; without one it asks nothing, and looks once a second. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aVmThatAnOperatorClosesByForceEndsAndIsNotTakenOver(boolean isProtected) throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", isProtected ? protection(address) : "");
            Engine primary = cluster.run(file, "a");
            Engine standby = isProtected ? cluster.standby(file, "b") : null;
            if (isProtected) {
                awaitProtected(primary);
            }
            long pid = status(primary).path("qemu_pid").asLong();
            cluster.forceClosed("vm1");
            assertThat(primary.ended().get(TestCluster.PATIENCE.toSeconds(), TimeUnit.SECONDS))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("fenced")
                    .hasMessageContaining("closed by force: a test");
            await().until(() ->
                    ProcessHandle.of(pid).map(process -> !process.isAlive()).orElse(true));
            if (standby != null) {
                await().until(() -> standby.ended().isDone()
                        || status(standby).path("state").asText().equals("waiting"));
                assertThat(status(standby).path("role").asText()).isEqualTo("standby");
            }
        }
    }

    @Test
    void whoHoldsAVmKeepsItUntilItIsFenced() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", "");
            cluster.run(file, "a");
            assertThatThrownBy(() -> cluster.run(file, "b"))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("vm1 is held by a");
            assertThatThrownBy(() -> cluster.run(file, "a"))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("an engine already runs it on this host");
        }
    }

    @Test
    void aStandbyThatEndsWhileItsQemuStartsLeavesNone() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path stuck = cluster.file(
                    "vm1", "tcg", "qemu: %s\n%s".formatted(cluster.qemuThatDoesNotStart(), protection(address)));
            Engine standby = cluster.standby(stuck, "b");
            Engine primary = cluster.run(cluster.file("vm1", "tcg", protection(address)), "a");
            long running = status(primary).path("qemu_pid").asLong();
            await().until(() -> status(standby).path("state").asText().equals("starting"));
            await().until(() -> children(running).count() == 1);
            ProcessHandle starting = children(running).findFirst().orElseThrow();
            standby.stop("the test ends it").get(20, TimeUnit.SECONDS);
            assertThat(starting.isAlive()).isFalse();
            assertThat(children(running)).isEmpty();
        }
    }

    private static Stream<ProcessHandle> children(long except) {
        return ProcessHandle.current().children().filter(child -> child.pid() != except);
    }

    @Test
    void aStandbyWithAnotherFileSaysWhatDiffers() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            Path file = cluster.file("vm1", "tcg", "protection: {auto: false, listen: \"" + address + "\"}");
            Path other = cluster.file("vm1", "tcg", "cpus: 2\nprotection: {auto: false, listen: \"" + address + "\"}");
            Files.writeString(other, Files.readString(other).replace("memory: 64M", "memory: 128M"));
            Engine primary = cluster.run(file, "a");
            cluster.standby(other, "b");
            assertThatThrownBy(() -> ask(primary, "protect " + address))
                    .hasMessageContaining("memory is 128 MiB here, 64 MiB there")
                    .hasMessageContaining("cpus is 2 here, 1 there");
            assertThat(status(primary).path("mode").asText()).isEqualTo("solo");
        }
    }

    @Test
    void aQemuThatDiesAtStartIsQuotedAndTheVmIsClosedAgain() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        try (TestCluster cluster = new TestCluster(directory)) {
            Path bad = cluster.file("vm1", "tcg", "qemu_args: [\"-device\", \"no-such-device\"]");
            assertThatThrownBy(() -> cluster.run(bad, "a"))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("vm1: QEMU did not start")
                    .hasMessageContaining("'no-such-device' is not a valid device model name");
            assertThat(Files.exists(cluster.ram("a", "vm1"))).isFalse();
            cluster.run(cluster.file("vm1", "tcg", ""), "b");
        }
    }

    @Test
    void aStandbysPortThatIsTakenIsNamed() throws Exception {
        TestCluster.assumeItCanRun("tcg");
        String address = TestCluster.ownAddress();
        try (TestCluster cluster = new TestCluster(directory)) {
            cluster.standby(cluster.file("vm1", "tcg", protection(address)), "b");
            assertThatThrownBy(() -> cluster.standby(cluster.file("vm2", "tcg", protection(address)), "b"))
                    .isInstanceOf(EngineException.class)
                    .hasMessageContaining("cannot listen on " + address);
        }
    }

    private static String protection(String address) {
        return protection(address, address);
    }

    private static String protection(String standby, String listen) {
        return "protection: {epoch: 10ms, failure_timeout: 5s, standbys: [\"%s\"], listen: \"%s\"}"
                .formatted(standby, listen);
    }
}
