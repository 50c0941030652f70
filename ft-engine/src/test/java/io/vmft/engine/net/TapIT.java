package io.vmft.engine.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Real tap interfaces on a real bridge, in a namespace of their own. */
@Timeout(60)
final class TapIT {
    /** Broadcast, from 52:54:00:00:00:01, of an experimental type. */
    private static final byte[] FRAME =
            HexFormat.of().parseHex("ffffffffffff" + "525400000001" + "88b5" + "00".repeat(46));

    @TempDir
    Path directory;

    private NetworkNamespace namespace;

    @BeforeEach
    void makeBridge() throws Exception {
        namespace = NetworkNamespace.create();
        namespace.ip("link", "add", "br0", "type", "bridge");
        namespace.ip("link", "set", "br0", "up");
    }

    @AfterEach
    void leave() {
        namespace.close();
    }

    @Test
    void carriesFramesThroughABridge() throws Exception {
        try (Tap first = tap("t0", "br0");
                Tap second = tap("t1", "br0")) {
            assertThat(namespace.ip("link", "show", "master", "br0")).contains("t0", "t1", "UP");
            assertThat(send(first, FRAME)).isTrue();
            assertThat(receiveOurs(second)).isEqualTo(FRAME);
        }
        assertThat(namespace.ip("link")).doesNotContain("t0", "t1");
    }

    @Test
    void aTapOfTheOperatorIsUsedAndStays() throws Exception {
        namespace.ip("tuntap", "add", "mine", "mode", "tap");
        namespace.ip("link", "set", "mine", "master", "br0");
        tap("mine", "br0").close();
        tap("mine", null).close();
        assertThat(namespace.ip("link", "show", "master", "br0")).contains("mine");
    }

    @Test
    void aTapInUseIsNamed() throws Exception {
        try (Tap first = tap("t0", null)) {
            assertThat(first.name()).isEqualTo("t0");
            assertThatThrownBy(() -> tap("t0", null))
                    .isInstanceOf(TapException.class)
                    .hasMessage("tap t0: is in use by another process; end that one, or use another tap");
        }
    }

    @Test
    void aBridgeThatIsMissingIsNamedAndNothingIsLeft() throws Exception {
        assertThatThrownBy(() -> tap("t0", "br9"))
                .isInstanceOf(TapException.class)
                .hasMessage("tap t0: bridge br9 does not exist; make it: ip link add br9 type bridge");
        assertThat(namespace.ip("link")).doesNotContain("t0");
    }

    @Test
    void anotherKindOfInterfaceIsRefused() {
        assertThatThrownBy(() -> tap("br0", null))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("exists and is not a plain tap interface");
        assertThatThrownBy(() -> tap("t0", "lo"))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("cannot be put into lo")
                .hasMessageContaining("is that a bridge?");
    }

    @Test
    void aTapInAnotherBridgeIsRefused() throws Exception {
        namespace.ip("link", "add", "br1", "type", "bridge");
        namespace.ip("tuntap", "add", "mine", "mode", "tap");
        namespace.ip("link", "set", "mine", "master", "br1");
        assertThatThrownBy(() -> tap("mine", "br0"))
                .isInstanceOf(TapException.class)
                .hasMessageContaining("is in another bridge than br0");
        assertThat(namespace.ip("link", "show", "master", "br1")).contains("mine");
    }

    @Test
    void aFrameThatIsNoneIsNotTaken() throws Exception {
        try (Tap tap = tap("t0", null)) {
            assertThat(send(tap, new byte[] {1, 2, 3})).isFalse();
            namespace.ip("link", "set", "t0", "down");
            assertThat(send(tap, FRAME)).isFalse();
        }
    }

    @Test
    void closingEndsAWaitingReceive() throws Exception {
        Tap tap = tap("t0", null);
        CompletableFuture<Integer> received = CompletableFuture.supplyAsync(() -> {
            try {
                MemorySegment memory = Arena.ofAuto().allocate(70_000);
                int n = 0;
                while (n >= 0) {
                    // The kernel's own frames (IPv6) may come first.
                    n = tap.receive(memory, 0);
                }
                return n;
            } catch (IOException e) {
                throw new IllegalStateException(e);
            }
        });
        tap.close();
        assertThat(received.get(10, TimeUnit.SECONDS)).isEqualTo(-1);
        tap.close();
        assertThatThrownBy(() -> send(tap, FRAME)).hasMessageContaining("is closed");
    }

    @Test
    void aTapThatIsDeletedIsReported() throws Exception {
        try (Tap tap = tap("t0", null)) {
            namespace.ip("link", "del", "t0");
            assertThatThrownBy(() -> send(tap, FRAME))
                    .isInstanceOf(TapException.class)
                    .hasMessageContaining("was the interface deleted?");
            assertThatThrownBy(() -> receiveOurs(tap)).isInstanceOf(TapException.class);
        }
    }

    /** The whole way: QEMU's socket, the gate, a tap, a bridge, another tap; and back. */
    @Test
    void aGateCarriesBetweenQemusSocketAndABridge() throws Exception {
        Path socket = directory.resolve("nic0.sock");
        try (Tap outside = tap("t1", "br0");
                NetGate gate = NetGate.open("vm1", 0, socket, tap("t0", "br0"), 1 << 20, NetGate.Mode.OPEN);
                var qemu = SocketChannel.open(UnixDomainSocketAddress.of(socket))) {
            await().until(() -> Files.notExists(socket));
            gate.startHolding(1);
            var framed = ByteBuffer.allocate(4 + FRAME.length)
                    .putInt(FRAME.length)
                    .put(FRAME)
                    .flip();
            while (framed.hasRemaining()) {
                qemu.write(framed);
            }
            await().until(() -> gate.counters().heldFrames() == 1);
            gate.mark(1);
            assertThat(gate.release(1)).isEqualTo(1);
            assertThat(receiveOurs(outside)).isEqualTo(FRAME);

            byte[] answer = FRAME.clone();
            answer[11] = 2;
            assertThat(send(outside, answer)).isTrue();
            StreamFrames frames = new StreamFrames(Arena.ofAuto().allocate(100_000));
            byte[] seen = {};
            while (!Arrays.equals(seen, answer)) {
                assertThat(frames.next(qemu)).isTrue();
                seen = frames.memory()
                        .asSlice(frames.frameOffset(), frames.frameLengthBytes())
                        .toArray(ValueLayout.JAVA_BYTE);
            }
            namespace.ip("link", "del", "t0");
            assertThatThrownBy(() -> gate.ended().get(10, TimeUnit.SECONDS)).hasMessageContaining("vm1-nic0: tap t0");
        }
    }

    private Tap tap(String name, @Nullable String bridge) throws Exception {
        return namespace.call(() -> Tap.open(name, Optional.ofNullable(bridge)));
    }

    private static boolean send(Tap tap, byte[] frame) throws IOException {
        MemorySegment memory = Arena.ofAuto().allocate(frame.length);
        memory.copyFrom(MemorySegment.ofArray(frame));
        return tap.send(memory, 0, frame.length);
    }

    /** The next frame of our type; the kernel sends others on its own. */
    private static byte[] receiveOurs(Tap tap) throws IOException {
        MemorySegment memory = Arena.ofAuto().allocate(70_000);
        while (true) {
            int n = tap.receive(memory, 0);
            byte[] frame = memory.asSlice(0, n).toArray(ValueLayout.JAVA_BYTE);
            if (n > 14 && frame[12] == (byte) 0x88 && frame[13] == (byte) 0xb5) {
                return frame;
            }
        }
    }
}
