package io.vmft.engine.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import io.vmft.engine.net.NetGate.Mode;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
final class NetGateTest {
    private static final int LIMIT_BYTES = 256 << 10;

    @TempDir
    Path directory;

    private final MemoryPort port = new MemoryPort();
    private NetGate gate;
    private SocketChannel qemu;

    @BeforeEach
    void connectAsQemuDoes() throws IOException {
        Path socket = directory.resolve("nic0.sock");
        gate = NetGate.open("vm1", 0, socket, port, LIMIT_BYTES, Mode.CLOSED);
        qemu = SocketChannel.open(UnixDomainSocketAddress.of(socket));
        await("the gate to take the connection").until(() -> Files.notExists(socket));
    }

    @AfterEach
    void close() throws IOException {
        qemu.close();
        gate.close();
    }

    @Test
    void openPassesBothWays() throws Exception {
        gate.openNow();
        fromGuest(1);
        await().until(() -> numbers().equals(List.of(1)));
        port.offer(new byte[] {9, 8, 7});
        assertThat(toGuest()).containsExactly(9, 8, 7);
        await().until(() ->
                gate.counters().passedFrames() == 1 && gate.counters().receivedFrames() == 1);
    }

    @Test
    void closedDropsBothWaysUntilOpened() throws Exception {
        fromGuest(1);
        port.offer(new byte[] {9});
        await().until(() ->
                gate.counters().droppedFromGuest() == 1 && gate.counters().droppedToGuest() == 1);
        gate.openNow();
        fromGuest(2);
        await().until(() -> numbers().equals(List.of(2)));
        port.offer(new byte[] {7});
        assertThat(toGuest()).containsExactly(7);
    }

    @Test
    void holdsEachFrameUntilItsEpochIsReleased() throws Exception {
        gate.openNow();
        gate.startHolding(5);
        fromGuest(1);
        fromGuest(2);
        await().until(() -> gate.counters().heldFrames() == 2);
        gate.mark(5);
        fromGuest(3);
        await().until(() -> gate.counters().heldFrames() == 3);
        assertThat(numbers()).isEmpty();
        gate.mark(6);
        assertThat(gate.release(5)).isEqualTo(2);
        assertThat(numbers()).containsExactly(1, 2);
        assertThat(gate.release(6)).isEqualTo(1);
        assertThat(numbers()).containsExactly(1, 2, 3);
        assertThat(gate.counters())
                .returns(0, GateCounters::heldFrames)
                .returns(0L, GateCounters::heldBytes)
                .returns(3L, GateCounters::releasedFrames);
    }

    @Test
    void framesForTheGuestAreNotHeld() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        port.offer(new byte[] {4});
        assertThat(toGuest()).containsExactly(4);
    }

    @Test
    void aNewProtectionMayCountFromALowerEpoch() throws Exception {
        gate.openNow();
        gate.startHolding(5);
        gate.mark(5);
        gate.mark(6);
        gate.openNow();
        gate.startHolding(6);
        fromGuest(1);
        await().until(() -> gate.counters().heldFrames() == 1);
        gate.mark(6);
        assertThat(gate.release(6)).isEqualTo(1);
    }

    @Test
    void heldFramesCanBeCopiedByEpochAndStayHeld() throws Exception {
        gate.openNow();
        gate.startHolding(5);
        for (int epoch = 5; epoch <= 7; epoch++) {
            fromGuest(epoch);
            int held = epoch - 4;
            await().until(() -> gate.counters().heldFrames() == held);
            gate.mark(epoch);
        }
        List<Integer> shown = new ArrayList<>();
        gate.showHeld(
                5,
                6,
                (memory, offset, length) ->
                        shown.add(memory.asSlice(offset, length).asByteBuffer().getInt()));
        assertThat(shown).containsExactly(6);
        assertThat(gate.release(7)).isEqualTo(3);
        assertThat(numbers()).containsExactly(5, 6, 7);
    }

    @Test
    void whoWatchesSeesWhatTheGuestIsGivenAndInWhichEpoch() throws Exception {
        gate.openNow();
        gate.startHolding(5);
        gate.mark(5);
        List<String> seen = new java.util.concurrent.CopyOnWriteArrayList<>();
        gate.watchInput((epoch, memory, offset, length) -> seen.add(
                epoch + ": " + memory.asSlice(offset, length).asByteBuffer().get() + ", " + length));
        port.offer(new byte[] {9, 8, 7});
        assertThat(toGuest()).containsExactly(9, 8, 7);
        await().untilAsserted(() -> assertThat(seen).containsExactly("6: 9, 3"));
        gate.watchInput(null);
        port.offer(new byte[] {1});
        assertThat(toGuest()).containsExactly(1);
        assertThat(seen).hasSize(1);
    }

    @Test
    void framesFromBeforeATakeoverPassAnOpenGateOnly() throws Exception {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment frame = arena.allocate(1000);
            frame.asByteBuffer().putInt(3);
            gate.sendFromBefore(frame, 0, 1000);
            gate.deliver(ByteBuffer.wrap(new byte[] {6}));
            assertThat(numbers()).isEmpty();
            gate.openNow();
            gate.sendFromBefore(frame, 0, 1000);
            assertThat(numbers()).containsExactly(3);
            await().until(() -> {
                gate.deliver(ByteBuffer.wrap(new byte[] {7, 5}));
                return gate.counters().receivedFrames() > 0;
            });
            assertThat(toGuest()).containsExactly(7, 5);
        }
    }

    @Test
    void anEpochThatBecameVoidGoesOutWithTheNext() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        fromGuest(1);
        await().until(() -> gate.counters().heldFrames() == 1);
        gate.mark(1);
        gate.mark(2);
        assertThat(gate.release(2)).isEqualTo(1);
    }

    @Test
    void anEpochThatHasNotEndedIsNotReleased() throws Exception {
        gate.openNow();
        gate.startHolding(3);
        assertThatThrownBy(() -> gate.release(3)).isInstanceOf(IllegalStateException.class);
        gate.mark(3);
        assertThat(gate.release(3)).isZero();
        assertThatThrownBy(() -> gate.mark(3)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> gate.startHolding(3)).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void openNowReleasesAllAndPassesOnInOrder() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        fromGuest(1);
        fromGuest(2);
        await().until(() -> gate.counters().heldFrames() == 2);
        assertThat(gate.openNow()).isEqualTo(2);
        fromGuest(3);
        await().until(() -> numbers().equals(List.of(1, 2, 3)));
    }

    @Test
    void atTheLimitTheGuestIsStoppedAndNothingIsLost() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        int count = 3 * LIMIT_BYTES / 1000;
        CompletableFuture<Void> sender = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < count; i++) {
                fromGuest(i);
            }
        });
        long epoch = 1;
        while (numbers().size() < count) {
            await().until(() -> gate.counters().heldFrames() > 0);
            assertThat(gate.counters().heldBytes()).isLessThanOrEqualTo(LIMIT_BYTES);
            gate.mark(epoch);
            gate.release(epoch++);
        }
        sender.get();
        List<Integer> expected = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            expected.add(i);
        }
        assertThat(numbers()).isEqualTo(expected);
        assertThat(gate.counters().droppedFromGuest()).isZero();
    }

    @Test
    void readingStopsAtTheLimit() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        CompletableFuture<Void> sender = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < 2000; i++) {
                fromGuest(i);
            }
        });
        await().until(() -> gate.counters().heldBytes() + 1000 > LIMIT_BYTES);
        assertThat(sender).isNotDone();
        gate.openNow();
        sender.get();
        await().until(() -> numbers().size() == 2000);
        assertThat(gate.counters().fullNanos()).isPositive();
    }

    /** One thread ends and releases epochs at random while a guest sends: what leaves was marked and released before. */
    @Test
    void nothingLeavesEarlyUnderConcurrency() throws Exception {
        long seed = new Random().nextLong();
        Random random = new Random(seed);
        gate.openNow();
        gate.startHolding(1);
        int count = 20_000;
        CompletableFuture<Void> sender = CompletableFuture.runAsync(() -> {
            for (int i = 0; i < count; i++) {
                fromGuest(i);
            }
        });
        long marked = 0;
        while (!sender.isDone() || gate.counters().heldFrames() > 0) {
            long left = gate.counters().releasedFrames();
            gate.mark(++marked);
            assertThat(gate.counters().releasedFrames())
                    .as("seed %d: only release lets frames out", seed)
                    .isEqualTo(left);
            if (random.nextBoolean()) {
                gate.release(marked);
            }
        }
        gate.mark(++marked);
        gate.release(marked);
        sender.get();
        await().until(() -> {
            gate.openNow();
            return numbers().size() == count;
        });
        assertThat(numbers()).as("seed %d", seed).isSorted().doesNotHaveDuplicates();
    }

    @Test
    void framesTheHostDoesNotTakeAreCounted() throws Exception {
        gate.openNow();
        port.setUp(false);
        fromGuest(1);
        await().until(() -> gate.counters().droppedFromGuest() == 1);
        assertThat(gate.ended()).isNotDone();
    }

    @Test
    void aBrokenTapEndsTheGate() throws Exception {
        gate.openNow();
        port.breakDown();
        fromGuest(1);
        assertThatThrownBy(() -> gate.ended().get(10, TimeUnit.SECONDS)).hasMessageContaining("vm1-nic0");
        assertThat(port.isClosed()).isTrue();
    }

    @Test
    void aBrokenStreamEndsTheGate() throws Exception {
        gate.openNow();
        qemu.write(ByteBuffer.allocate(4));
        assertThatThrownBy(() -> gate.ended().get(10, TimeUnit.SECONDS)).hasMessageContaining("QEMU sent a frame of 0");
    }

    @Test
    void whenQemuGoesTheGateEnds() throws Exception {
        gate.openNow();
        qemu.close();
        gate.ended().get(10, TimeUnit.SECONDS);
        assertThat(port.isClosed()).isTrue();
    }

    @Test
    void closingDropsWhatIsHeld() throws Exception {
        gate.openNow();
        gate.startHolding(1);
        fromGuest(1);
        await().until(() -> gate.counters().heldFrames() == 1);
        gate.mark(1);
        gate.close();
        assertThatThrownBy(() -> gate.startHolding(2)).isInstanceOf(IllegalStateException.class);
        gate.release(1);
        gate.openNow();
        assertThat(numbers()).isEmpty();
        assertThat(gate.counters().mode()).isEqualTo(Mode.CLOSED);
        assertThat(directory.resolve("nic0.sock")).doesNotExist();
        gate.ended().get(10, TimeUnit.SECONDS);
    }

    @Test
    void closesBeforeQemuCame() throws Exception {
        NetGate lonely =
                NetGate.open("vm1", 1, directory.resolve("nic1.sock"), new MemoryPort(), LIMIT_BYTES, Mode.OPEN);
        lonely.close();
        lonely.ended().get(10, TimeUnit.SECONDS);
    }

    @Test
    void aSocketThatCannotBeMadeIsNamedAndTheTapClosed() {
        MemoryPort other = new MemoryPort();
        Path nowhere = directory.resolve("none").resolve("nic0.sock");
        assertThatThrownBy(() -> NetGate.open("vm1", 0, nowhere, other, LIMIT_BYTES, Mode.OPEN))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("cannot listen on " + nowhere);
        assertThat(other.isClosed()).isTrue();
        assertThat(Files.exists(nowhere)).isFalse();
    }

    /** A frame of 1,000 bytes that begins with its number. */
    private void fromGuest(int number) {
        ByteBuffer bytes = ByteBuffer.allocate(1004).putInt(1000).putInt(number).position(0);
        try {
            while (bytes.hasRemaining()) {
                qemu.write(bytes);
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private List<Integer> numbers() {
        return port.sent().stream()
                .map(frame -> ByteBuffer.wrap(frame).getInt())
                .toList();
    }

    private byte[] toGuest() throws IOException {
        ByteBuffer header = ByteBuffer.allocate(4);
        fill(header);
        ByteBuffer frame = ByteBuffer.allocate(header.getInt(0));
        fill(frame);
        return frame.array();
    }

    private void fill(ByteBuffer target) throws IOException {
        while (target.hasRemaining()) {
            assertThat(qemu.read(target)).isPositive();
        }
    }
}
