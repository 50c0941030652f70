package io.vmft.proto.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;

class NbdClientDecoderTest {
    private static final String GREETING = "4e42444d41474943 49484156454F5054 0003";
    private static final String OPTION_REPLY = "0003e889045565a9";
    private static final String GO_ACK = OPTION_REPLY + "00000007 00000001 00000000";
    private static final String SIMPLE = "67446698";
    private static final String CHUNK = "668e33ef";

    /** Cookies below 16 read as many bytes as their number. */
    private static void startOnGo(NbdClientDecoder decoder, Object message) {
        if (message instanceof NbdOptionReply.Ack(int option) && option == Nbd.OPT_GO) {
            decoder.startTransmission(cookie -> cookie < 16 ? (int) cookie : 0);
        }
    }

    private static List<String> decode(String... parts) {
        return Wire.decodeAtEverySplit(NbdClientDecoder::new, NbdClientDecoderTest::startOnGo, Wire.bytes(parts));
    }

    private static String lastReply(String hex) {
        List<String> messages = decode(GREETING, GO_ACK, hex);
        assertThat(messages).hasSize(3);
        return messages.getLast();
    }

    @Test
    void decodesTheGreeting() {
        assertThat(decode(GREETING)).containsExactly("NbdGreeting[fixedNewstyle=true, noZeroes=true]");
        assertThat(decode("4e42444d41474943 49484156454F5054 0000"))
                .containsExactly("NbdGreeting[fixedNewstyle=false, noZeroes=false]");
    }

    @Test
    void refusesWhatIsNoNewstyleServer() {
        assertThat(decode("485454502f312e31203430302042616420 52"))
                .containsExactly("NbdProtocolException: bad magic 0x485454502f312e31 where the greeting begins");
        assertThat(decode("4e42444d41474943 0000420281861253 0000"))
                .containsExactly(
                        "NbdProtocolException: the server speaks the oldstyle handshake, which has no exports");
    }

    @Test
    void decodesOptionReplies() {
        assertThat(decode(
                        GREETING,
                        OPTION_REPLY + "00000003 00000002 0000000c 00000004 6469736b",
                        "'desc'",
                        OPTION_REPLY + "00000003 00000001 00000000",
                        OPTION_REPLY + "00000007 00000003 0000000c 0000 0000000100000000 016d",
                        OPTION_REPLY + "00000007 00000003 0000000e 0003 00000001 00001000 02000000",
                        OPTION_REPLY + "00000007 00000003 00000006 0001 6469736b",
                        OPTION_REPLY + "00000007 00000003 00000006 0002 6469736b",
                        OPTION_REPLY + "00000007 00000003 00000003 0063 00",
                        OPTION_REPLY + "00000007 80000006 00000002 6e6f"))
                .endsWith(
                        "Server[option=3, name=disk, description=desc]",
                        "Ack[option=3]",
                        "Export[option=7, sizeBytes=4294967296, transmissionFlags=365]",
                        "BlockSize[option=7, minimumBytes=1, preferredBytes=4096, maximumPayloadBytes=33554432]",
                        "Name[option=7, name=disk]",
                        "Description[option=7, text=disk]",
                        "Unknown[option=7, replyType=3]",
                        "Failure[option=7, replyType=-2147483642, message=no]");
    }

    @Test
    void refusesOptionRepliesThatLie() {
        assertThat(decode(GREETING, OPTION_REPLY + "00000003 00000002 00000004 00000001"))
                .endsWith("NbdProtocolException: an export in the list is shorter than its name");
        assertThat(decode(GREETING, OPTION_REPLY + "00000007 00000003 00000003 0000 00"))
                .endsWith("NbdProtocolException: an information reply has the wrong length");
        assertThat(decode(GREETING, OPTION_REPLY + "00000007 00000003 10000000"))
                .endsWith("NbdProtocolException: an option reply of 268435456 bytes is longer than 8256");
    }

    @Test
    void decodesTheAnswerToExportNameWithAndWithoutZeroes() {
        byte[] bytes =
                Wire.bytes(GREETING, "0000000000001000 0001", "00".repeat(124), SIMPLE + "00000000 0000000000000063");
        assertThat(Wire.decodeAtEverySplit(
                        NbdClientDecoder::new,
                        (decoder, message) -> {
                            if (message instanceof NbdGreeting) {
                                decoder.expectExportNameAnswer(true);
                            } else if (message instanceof NbdOptionReply.ExportNameAnswer) {
                                decoder.startTransmission(_ -> 0);
                            }
                        },
                        bytes))
                .endsWith(
                        "ExportNameAnswer[sizeBytes=4096, transmissionFlags=1, zeroes=true]",
                        "Simple[cookie=99, error=OK]");
    }

    @Test
    void decodesReplies() {
        assertThat(decode(
                        GREETING,
                        GO_ACK,
                        SIMPLE + "00000000 0000000000000063",
                        SIMPLE + "00000000 0000000000000003 aabbcc",
                        SIMPLE + "00000016 0000000000000003",
                        CHUNK + "0001 0000 0000000000000003 00000000",
                        CHUNK + "0000 0001 0000000000000003 0000000a 0000000000001000 aabb",
                        CHUNK + "0001 0002 0000000000000003 0000000c 0000000000001002 00000001",
                        CHUNK + "0001 8001 0000000000000003 00000008 00000005 0002 6e6f",
                        CHUNK + "0001 8002 0000000000000003 00000010 0000001c 0002 6e6f 0000000000001000"))
                .endsWith(
                        "Simple[cookie=99, error=OK]",
                        "SimpleData[cookie=3, data=aabbcc]",
                        "Simple[cookie=3, error=EINVAL]",
                        "None[cookie=3]",
                        "Data[cookie=3, done=false, offset=4096, data=aabb]",
                        "Hole[cookie=3, done=true, offset=4098, lengthBytes=1]",
                        "Failure[cookie=3, done=true, error=EIO, message=no]",
                        "Failure[cookie=3, done=true, error=ENOSPC, message=no]");
    }

    @Test
    void anErrorNobodyKnowsCountsAsInvalid() {
        assertThat(lastReply(SIMPLE + "00000055 0000000000000063")).isEqualTo("Simple[cookie=99, error=EINVAL]");
    }

    @Test
    void refusesRepliesThatCannotBe() {
        assertThat(lastReply("67446699")).isEqualTo("NbdProtocolException: bad magic 0x67446699 where a reply begins");
        assertThat(lastReply(CHUNK + "0000 0000 0000000000000003 00000000"))
                .isEqualTo("NbdProtocolException: an empty reply chunk is not empty or not the last");
        assertThat(lastReply(CHUNK + "0001 0001 0000000000000003 0000000c"))
                .isEqualTo("NbdProtocolException: a data chunk of 4 bytes is longer than 3");
        assertThat(lastReply(CHUNK + "0001 0001 0000000000000003 00000008"))
                .isEqualTo("NbdProtocolException: a data chunk without data");
        assertThat(lastReply(CHUNK + "0001 0002 0000000000000003 00000008"))
                .isEqualTo("NbdProtocolException: a hole chunk has the wrong length");
        assertThat(lastReply(CHUNK + "0001 0009 0000000000000003 00000008"))
                .isEqualTo("NbdProtocolException: unexpected reply type 9");
        assertThat(lastReply(CHUNK + "0001 8001 0000000000000003 00000004"))
                .isEqualTo("NbdProtocolException: an error chunk of 4 bytes");
        assertThat(lastReply(CHUNK + "0001 8001 0000000000000003 00000007 00000005 0002 6e"))
                .isEqualTo("NbdProtocolException: an error message is longer than its chunk");
    }
}
