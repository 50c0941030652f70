package io.vmft.proto.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class NbdClientDecoderTest {
    private static final String GREETING = "4e42444d41474943 49484156454F5054 0003";
    private static final String OPTION_REPLY = "0003e889045565a9";
    private static final String GO_ACK = OPTION_REPLY + "00000007 00000001 00000000";
    private static final String SIMPLE = "67446698";
    private static final String CHUNK = "668e33ef";
    private static final String EXTENDED = "6e8a278c";

    /** Cookies below 16 read as many bytes as their number; 16 asks for a status, 17 for one extent of it. */
    private static @Nullable NbdRequest pending(long cookie) {
        if (cookie < 16) {
            return new NbdRequest.Read(cookie, 0x1000, (int) cookie, false);
        }
        return cookie > 17 ? null : new NbdRequest.BlockStatus(cookie, 0x1000, 0x10000, cookie == 17);
    }

    private static void startOnGo(NbdClientDecoder decoder, Object message) {
        if (message instanceof NbdOptionReply.Ack(int option) && option == Nbd.OPT_GO) {
            decoder.startTransmission(NbdHeaders.STRUCTURED, NbdClientDecoderTest::pending);
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
                        OPTION_REPLY + "0000000a 00000004 00000008 00000007 783a7a61",
                        OPTION_REPLY + "00000007 80000006 00000002 6e6f"))
                .endsWith(
                        "Server[option=3, name=disk, description=desc]",
                        "Ack[option=3]",
                        "Export[option=7, sizeBytes=4294967296, transmissionFlags=365]",
                        "BlockSize[option=7, minimumBytes=1, preferredBytes=4096, maximumPayloadBytes=33554432]",
                        "Name[option=7, name=disk]",
                        "Description[option=7, text=disk]",
                        "Unknown[option=7, replyType=3]",
                        "MetaContext[option=10, id=7, name=x:za]",
                        "Failure[option=7, replyType=-2147483642, message=no]");
    }

    @Test
    void refusesOptionRepliesThatLie() {
        assertThat(decode(GREETING, OPTION_REPLY + "00000003 00000002 00000004 00000001"))
                .endsWith("NbdProtocolException: an export in the list is shorter than its name");
        assertThat(decode(GREETING, OPTION_REPLY + "00000007 00000003 00000003 0000 00"))
                .endsWith("NbdProtocolException: an information reply has the wrong length");
        assertThat(decode(GREETING, OPTION_REPLY + "0000000a 00000004 00000003 000000"))
                .endsWith("NbdProtocolException: a metadata context has no number");
        assertThat(decode(GREETING, OPTION_REPLY + "0000000a 00000004 00000006 00000000 c328"))
                .endsWith("NbdProtocolException: a metadata context's name is longer than 4096 bytes or not UTF-8");
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
                                decoder.startTransmission(NbdHeaders.SIMPLE, _ -> null);
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

    private static List<String> extended(String... parts) {
        List<String> messages = Wire.decodeAtEverySplit(
                NbdClientDecoder::new,
                (decoder, message) -> {
                    if (message instanceof NbdGreeting) {
                        decoder.startTransmission(NbdHeaders.EXTENDED, NbdClientDecoderTest::pending);
                    }
                },
                Wire.bytes(GREETING, String.join("", parts)));
        return messages.subList(1, messages.size());
    }

    @Test
    void decodesBlockStatus() {
        assertThat(decode(
                        GREETING,
                        GO_ACK,
                        CHUNK + "0000 0005 0000000000000010 00000014 00000007 00001000 00000003 fffff000 00000000",
                        CHUNK + "0001 0005 0000000000000011 0000000c 00000008 00001000 ffffffff"))
                .endsWith(
                        "BlockStatus[cookie=16, done=false, contextId=7, extents=[NbdExtent[lengthBytes=4096, flags=3],"
                                + " NbdExtent[lengthBytes=4294963200, flags=0]]]",
                        "BlockStatus[cookie=17, done=true, contextId=8, extents=[NbdExtent[lengthBytes=4096, flags=4294967295]]]");
    }

    @Test
    void decodesExtendedReplies() {
        assertThat(extended(
                        EXTENDED + "0001 0000 0000000000000010 0000000000001000 0000000000000000",
                        EXTENDED + "0000 0001 0000000000000003 0000000000001000 000000000000000a 0000000000001001 aabb",
                        EXTENDED
                                + "0001 0002 0000000000000003 0000000000001000 000000000000000c 0000000000001000 00000001",
                        EXTENDED + "0001 8001 0000000000000003 0000000000001000 0000000000000008 00000005 0002 6e6f",
                        EXTENDED + "0001 0006 0000000000000010 0000000000001000 0000000000000028 00000007 00000002",
                        "0000000000001000 0000000000000003 7fffffffffff0000 8000000000000000"))
                .containsExactly(
                        "None[cookie=16]",
                        "Data[cookie=3, done=false, offset=4097, data=aabb]",
                        "Hole[cookie=3, done=true, offset=4096, lengthBytes=1]",
                        "Failure[cookie=3, done=true, error=EIO, message=no]",
                        "BlockStatus[cookie=16, done=true, contextId=7, extents=[NbdExtent[lengthBytes=4096, flags=3],"
                                + " NbdExtent[lengthBytes=9223372036854710272, flags=-9223372036854775808]]]");
    }

    @Test
    void refusesABlockStatusThatCannotBe() {
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000003 0000000c"))
                .isEqualTo("NbdProtocolException: unexpected reply type 5");
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000099 0000000c"))
                .isEqualTo("NbdProtocolException: unexpected reply type 5");
        assertThat(lastReply(CHUNK + "0001 0006 0000000000000010 00000018"))
                .isEqualTo("NbdProtocolException: unexpected reply type 6");
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000010 00000004"))
                .isEqualTo("NbdProtocolException: a block status chunk of 4 bytes");
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000010 0000000b"))
                .isEqualTo("NbdProtocolException: a block status chunk of 11 bytes");
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000011 00000014"))
                .isEqualTo("NbdProtocolException: a block status chunk of 2 extents, more than 1");
        // What was asked for is 64 KiB long, and no extent is empty.
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000010 0008000c"))
                .isEqualTo("NbdProtocolException: a block status chunk of 65537 extents, more than 65536");
        assertThat(lastReply(CHUNK + "0001 0005 0000000000000010 0000000c 00000007 00000000 00000000"))
                .isEqualTo("NbdProtocolException: an extent is empty or ends beyond 8 EiB");
    }

    @Test
    void refusesExtendedRepliesThatCannotBe() {
        assertThat(extended(SIMPLE + "00000000 0000000000000003 0000000000000000 0000000000000000"))
                .containsExactly("NbdProtocolException: bad magic 0x67446698 where a reply begins");
        assertThat(extended(EXTENDED + "0001 0000 0000000000000010 0000000000002000 0000000000000000"))
                .containsExactly("NbdProtocolException: a reply has another offset than its request");
        assertThat(extended(EXTENDED + "0001 0001 0000000000000003 0000000000001000 ffffffffffffffff"))
                .containsExactly("NbdProtocolException: a data chunk without data");
        assertThat(extended(EXTENDED + "0001 0001 0000000000000003 0000000000001000 0000000100000009"))
                .containsExactly("NbdProtocolException: a data chunk of 4294967297 bytes is longer than 3");
        assertThat(extended(EXTENDED + "0001 0005 0000000000000010 0000000000001000 000000000000000c"))
                .containsExactly("NbdProtocolException: unexpected reply type 5");
        assertThat(extended(EXTENDED + "0001 8001 0000000000000010 0000000000001000 8000000000000008"))
                .containsExactly("NbdProtocolException: an error chunk of 9223372036854775816 bytes");
        assertThat(extended(
                        EXTENDED + "0001 0006 0000000000000010 0000000000001000 0000000000000018 00000007 00000002",
                        "0000000000001000 0000000000000003"))
                .containsExactly("NbdProtocolException: the number of extents does not match the chunk");
        assertThat(extended(
                        EXTENDED + "0001 0006 0000000000000010 0000000000001000 0000000000000028 00000007 00000002",
                        "7fffffffffffffff 0000000000000003 0000000000000001 0000000000000000"))
                .containsExactly("NbdProtocolException: an extent is empty or ends beyond 8 EiB");
    }

    @Test
    void chunksThatWereNotNegotiatedAreRefused() {
        byte[] bytes = Wire.bytes(GREETING, CHUNK + "0001 0000 0000000000000003 00000000");
        assertThat(Wire.decode(
                        NbdClientDecoder::new,
                        (decoder, message) -> {
                            if (message instanceof NbdGreeting) {
                                decoder.startTransmission(NbdHeaders.SIMPLE, NbdClientDecoderTest::pending);
                            }
                        },
                        bytes))
                .endsWith("NbdProtocolException: bad magic 0x668e33ef where a reply begins");
    }

    @Test
    void plainTextBehindTheLastPlainWordIsRefused() {
        byte[] bytes = Wire.bytes(
                GREETING, OPTION_REPLY + "00000005 00000001 00000000", OPTION_REPLY + "00000008 00000001 00000000");
        int end = bytes.length - 20;
        for (int cut : new int[] {0, 10, 18, end - 1, end + 1, end + 19}) {
            assertThat(Wire.decode(
                            NbdClientDecoder::new,
                            (decoder, message) -> {
                                if (message instanceof NbdOptionReply.Ack(int option) && option == Nbd.OPT_STARTTLS) {
                                    decoder.startTls();
                                }
                            },
                            bytes,
                            cut))
                    .as("cut at %d", cut)
                    .endsWith("Ack[option=5]", "NbdProtocolException: plain text where TLS must begin");
        }
    }
}
