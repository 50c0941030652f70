package io.vmft.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.ProtocolException;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LibraryMessageTest {
    /** Hexadecimal bytes, padded with zeroes to a message. */
    private static ByteBuffer bytes(String hex) {
        byte[] start = HexFormat.of().parseHex(hex.replace(" ", ""));
        byte[] all = new byte[LibraryMessage.BYTES];
        System.arraycopy(start, 0, all, 0, start.length);
        return ByteBuffer.wrap(all);
    }

    @Test
    void readsEveryKind() throws IOException {
        assertThat(LibraryMessage.decode(bytes("01000000 01000000 0000000000000000 d204000000000000")))
                .isEqualTo(new LibraryMessage.Greeting(new Hello(1, 1234)));
        assertThat(LibraryMessage.decode(bytes("03000000 05000000 0700000000000000 0001000000000000 0300000000000000")))
                .isEqualTo(new LibraryMessage.Filled(7, 5, 256, 3));
        assertThat(LibraryMessage.decode(bytes("04000000 01000000 0700000000000000 0100000000000000 0200000000000000"
                        + "0300000000000000 0500000000000000 0800000000000000 0100000000000000"
                        + "0700000000000000 0900000000000000 0400000000000000")))
                .isEqualTo(new LibraryMessage.Harvested(new Harvest(7, true, 1, 4, 2, 3, 5, 8, 1), 7, 9));
        assertThat(LibraryMessage.decode(bytes("05000000 00000000 0900000000000000 0200000000000000")))
                .isEqualTo(new LibraryMessage.Live(9, 2));
        assertThat(LibraryMessage.decode(bytes("07000000 02000000 0000000000000000 0010000000000000")))
                .isEqualTo(new LibraryMessage.Block(2, 4096));
        assertThat(LibraryMessage.decode(bytes("08000000 00000000 0000000000000000 1100000000000000")))
                .isEqualTo(new LibraryMessage.Frozen(17, false));
        assertThat(LibraryMessage.decode(bytes("08000000 00000000 0000000000000000 1100000000000000 0100000000000000")))
                .isEqualTo(new LibraryMessage.Frozen(17, true));
        assertThat(LibraryMessage.decode(bytes("0a000000 00000000 0700000000000000")))
                .isEqualTo(new LibraryMessage.PreCopied(7));
        assertThat(LibraryMessage.decode(bytes("09000000 00000000 0700000000000000 0100000000000000")))
                .isEqualTo(new LibraryMessage.Digested(7, 1));
        assertThat(LibraryMessage.decode(bytes("06000000 0c000000 0000000000000000 6e6f206d656d6f7279")))
                .isEqualTo(new LibraryMessage.Failed(12, "no memory"));
    }

    @Test
    void anErrorsTextMayFillTheMessage() throws IOException {
        assertThat(LibraryMessage.decode(bytes("06000000 00000000 0000000000000000" + "78".repeat(112))))
                .isEqualTo(new LibraryMessage.Failed(0, "x".repeat(112)));
    }

    @Test
    void leavesTheBufferAtTheNextMessage() throws IOException {
        ByteBuffer two = ByteBuffer.allocate(2 * LibraryMessage.BYTES);
        two.put(bytes("0a000000 00000000 01"))
                .put(bytes("0a000000 00000000 02"))
                .flip();
        assertThat(LibraryMessage.decode(two)).isEqualTo(new LibraryMessage.PreCopied(1));
        assertThat(LibraryMessage.decode(two)).isEqualTo(new LibraryMessage.PreCopied(2));
        assertThat(two.hasRemaining()).isFalse();
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "00000000",
                "02000000",
                "0b000000",
                "11000000",
                "ffffffff",
                // values of 2⁶³ and above
                "01000000 01000000 0000000000000000 0000000000000080",
                "03000000 00000000 0000000000000000 ffffffffffffffff",
                "05000000 00000000 0000000000000000 ffffffffffffffff",
                "07000000 01000000 0000000000000000 ffffffffffffffff",
                "08000000 00000000 0000000000000000 ffffffffffffffff",
                "04000000 01000000 0000000000000000 0000000000000000 0000000000000000 ffffffffffffffff",
                // moments out of order
                "04000000 01000000 0000000000000000 0000000000000000 0200000000000000 0100000000000000",
                // a longer wait for slots than copying took
                "04000000 01000000 0000000000000000 0000000000000000 0000000000000000 0000000000000000"
                        + "0000000000000000 0100000000000000 0200000000000000",
                // neither valid nor void
                "04000000 02000000",
            })
    void refusesNonsense(String hex) {
        assertThatThrownBy(() -> LibraryMessage.decode(bytes(hex)))
                .isInstanceOf(ProtocolException.class)
                .hasMessageContaining("libvmft");
    }

    @Test
    void aPageCountBeyondAnIntIsKept() throws IOException {
        assertThat(LibraryMessage.decode(bytes("03000000 00000000 0000000000000000 0100000001000000")))
                .isEqualTo(new LibraryMessage.Filled(0, 0, (1L << 32) + 1, 0));
    }

    @Test
    void writesEveryKindForTheLibrary() {
        assertThat(encode(EngineMessage.ARM, 0, 7)).startsWith("1100000000000000" + "0700000000000000");
        assertThat(encode(EngineMessage.SEALED, 0, 7)).startsWith("1200000000000000" + "0700000000000000");
        assertThat(encode(EngineMessage.VOID, 0, -1)).startsWith("1300000000000000" + "ffffffffffffffff");
        assertThat(encode(EngineMessage.RELEASE, 5, 0)).startsWith("1400000005000000" + "0000000000000000");
        assertThat(encode(EngineMessage.HARVEST_LIVE, 0, 9)).startsWith("1500000000000000" + "0900000000000000");
    }

    private static String encode(EngineMessage message, int arg, long epoch) {
        ByteBuffer buffer = ByteBuffer.allocate(LibraryMessage.BYTES);
        buffer.put(new byte[LibraryMessage.BYTES - 1]).put((byte) 1);
        message.encode(buffer, arg, epoch);
        assertThat(buffer.remaining()).isEqualTo(LibraryMessage.BYTES);
        String hex = HexFormat.of().formatHex(buffer.array());
        assertThat(hex.substring(32)).isEqualTo("00".repeat(112));
        return hex;
    }
}
