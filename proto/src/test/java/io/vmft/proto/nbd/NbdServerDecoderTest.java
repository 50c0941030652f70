package io.vmft.proto.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;

class NbdServerDecoderTest {
    private static final String FLAGS = "00000003";
    private static final String OPTION = "49484156454F5054";
    private static final String GO_DISK = OPTION + "00000007 0000000c 00000004 6469736b 0001 0003";
    private static final String REQUEST = "25609513";
    private static final String EXTENDED = "21e41c71";
    private static final String BAD_NAME = "the name is longer than the option data or 4096 bytes, or it is not UTF-8]";
    private static final String BAD_QUERY = "a query is longer than the option data or 4096 bytes, or it is not UTF-8]";

    private static void startOnGo(NbdServerDecoder decoder, Object message) {
        if (message instanceof NbdOption.Go || message instanceof NbdOption.ExportName) {
            decoder.startTransmission(NbdHeaders.STRUCTURED);
        }
    }

    private static List<String> decode(String... parts) {
        return Wire.decodeAtEverySplit(NbdServerDecoder::new, NbdServerDecoderTest::startOnGo, Wire.bytes(parts));
    }

    /** The messages after the handshake. */
    private static List<String> requests(String... parts) {
        String[] all = new String[parts.length + 2];
        all[0] = FLAGS;
        all[1] = GO_DISK;
        System.arraycopy(parts, 0, all, 2, parts.length);
        List<String> messages = decode(all);
        return messages.subList(2, messages.size());
    }

    @Test
    void decodesClientFlags() {
        assertThat(decode("00000001")).containsExactly("NbdClientFlags[fixedNewstyle=true, noZeroes=false]");
        assertThat(decode("00000003")).containsExactly("NbdClientFlags[fixedNewstyle=true, noZeroes=true]");
    }

    @Test
    void refusesUnknownClientFlags() {
        assertThat(decode("00000004")).containsExactly("NbdProtocolException: unknown client flags 0x4");
    }

    @Test
    void decodesOptions() {
        assertThat(decode(
                        FLAGS,
                        OPTION + "00000008 00000000",
                        OPTION + "00000003 00000000",
                        OPTION + "00000006 00000008 00000000 0001 0000",
                        OPTION + "00000002 00000003 616263",
                        OPTION + "00000003 00000000"))
                .endsWith(
                        "StructuredReply[]",
                        "ListExports[]",
                        "Describe[name=, requests=[0]]",
                        "Abort[]",
                        "ListExports[]");
    }

    @Test
    void skipsTheDataOfUnknownOptions() {
        assertThat(decode(FLAGS, OPTION + "000000ff 00000005 0102030405", OPTION + "00000003 00000000"))
                .endsWith("Unknown[code=255]", "ListExports[]");
    }

    @Test
    void saysWhatIsWrongWithAnOptionAndGoesOn() {
        assertThat(decode(
                        FLAGS,
                        OPTION + "00000003 00000001 00",
                        OPTION + "00000007 00000005 0000000000",
                        OPTION + "00000007 00000008 00000003 6162 0000",
                        OPTION + "00000007 00000008 00000000 0002 0000",
                        OPTION + "00000007 00000008 00000002 c328 0000",
                        OPTION + "00000007 00000008 00000002 6100 0000",
                        OPTION + "00000007 00000006 ffffffff 0000",
                        OPTION + "00000003 00000000"))
                .endsWith(
                        "Malformed[code=3, replyType=-2147483645, message=this option has no data]",
                        "Malformed[code=7, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=7, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=7, replyType=-2147483645, message=the number of information requests does not match the option data]",
                        "Malformed[code=7, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=7, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=7, replyType=-2147483645, message=" + BAD_NAME,
                        "ListExports[]");
    }

    @Test
    void skipsOptionDataThatIsTooLong() {
        String zeroes = "00".repeat(4231);
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        NbdServerDecoderTest::startOnGo,
                        Wire.bytes(FLAGS, OPTION + "00000007 00001087", zeroes, OPTION + "00000003 00000000"),
                        5,
                        100,
                        4000))
                .endsWith(
                        "Malformed[code=7, replyType=-2147483639, message=option data is longer than 4230 bytes]",
                        "ListExports[]");
    }

    @Test
    void takesTheLongestNameAndNoLonger() {
        String name = "61".repeat(4096);
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        NbdServerDecoderTest::startOnGo,
                        Wire.bytes(FLAGS, OPTION + "00000001 00001000", name)))
                .endsWith("ExportName[name=" + "a".repeat(4096) + "]");
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        NbdServerDecoderTest::startOnGo,
                        Wire.bytes(FLAGS, OPTION + "00000001 00001001", name)))
                .endsWith("NbdProtocolException: an export name of 4097 bytes is longer than 4096");
    }

    @Test
    void aBadOptionMagicEndsTheConnection() {
        assertThat(decode(FLAGS, "49484156454F5055 00000003 00000000", OPTION + "00000003 00000000"))
                .containsExactly(
                        "NbdClientFlags[fixedNewstyle=true, noZeroes=true]",
                        "NbdProtocolException: bad magic 0x49484156454f5055 where an option begins");
    }

    @Test
    void startsTransmissionAfterExportName() {
        assertThat(decode(
                        FLAGS,
                        OPTION + "00000001 00000004",
                        "'disk'",
                        REQUEST + "0000 0003 0000000000000009",
                        "0000000000000000 00000000"))
                .endsWith("ExportName[name=disk]", "Flush[cookie=9]");
    }

    @Test
    void decodesRequests() {
        assertThat(requests(
                        REQUEST + "0000 0000 0102030405060708 0000000000001000 00000200",
                        REQUEST + "0004 0000 0000000000000001 0000000000000000 02000000",
                        REQUEST + "0000 0001 0000000000000002 0000000000000010 00000003 aabbcc",
                        REQUEST + "0001 0001 0000000000000003 0000000000000020 00000001 dd",
                        REQUEST + "0000 0001 0000000000000004 0000000000000020 00000000",
                        REQUEST + "0000 0003 0000000000000005 0000000000000000 00000000",
                        REQUEST + "0001 0004 0000000000000006 0000000000001000 ffffffff",
                        REQUEST + "0013 0006 0000000000000007 ffffffffffffffff 00001000",
                        REQUEST + "0009 0007 000000000000000a 0000000000001000 ffffffff",
                        REQUEST + "0000 0005 0000000000000008 0000000000000000 00001000",
                        REQUEST + "0000 0002 0000000000000000 0000000000000000 00000000"))
                .containsExactly(
                        "Read[cookie=72623859790382856, offset=4096, lengthBytes=512, noFragment=false]",
                        "Read[cookie=1, offset=0, lengthBytes=33554432, noFragment=true]",
                        "Write[cookie=2, offset=16, data=aabbcc, fua=false, remainingBytes=0]",
                        "Write[cookie=3, offset=32, data=dd, fua=true, remainingBytes=0]",
                        "Write[cookie=4, offset=32, data=, fua=false, remainingBytes=0]",
                        "Flush[cookie=5]",
                        "Trim[cookie=6, offset=4096, lengthBytes=4294967295, fua=true]",
                        "WriteZeroes[cookie=7, offset=-1, lengthBytes=4096, noHole=true, fast=true, fua=true]",
                        "BlockStatus[cookie=10, offset=4096, lengthBytes=4294967295, one=true]",
                        "Cache[cookie=8, offset=0, lengthBytes=4096]",
                        "Disconnect[cookie=0]");
    }

    @Test
    void refusesWhatARequestMayNotSayAndGoesOn() {
        assertThat(requests(
                        REQUEST + "0000 0000 0000000000000001 0000000000000000 02000001",
                        REQUEST + "0004 0001 0000000000000002 0000000000000000 00000004 25609513",
                        REQUEST + "0002 0000 0000000000000003 0000000000000000 00000001",
                        REQUEST + "0000 0099 0000000000000004 0000000000000000 00000001",
                        REQUEST + "0021 0006 0000000000000005 0000000000000000 00000001",
                        REQUEST + "0000 0003 0000000000000009 0000000000001000 00000000",
                        REQUEST + "0000 0003 0000000000000006 0000000000000000 00000000"))
                .containsExactly(
                        "Refused[cookie=1, offset=0, error=EINVAL, message=a payload of 33554433 bytes is longer than 33554432]",
                        "Refused[cookie=2, offset=0, error=EINVAL, message=flags 0x4 are not allowed for command 1]",
                        "Refused[cookie=3, offset=0, error=EINVAL, message=flags 0x2 are not allowed for command 0]",
                        "Refused[cookie=4, offset=0, error=EINVAL, message=unknown command 153]",
                        "Refused[cookie=5, offset=0, error=EINVAL, message=flags 0x20 are not allowed for command 6]",
                        "Refused[cookie=9, offset=4096, error=EINVAL, message=a flush has no range]",
                        "Flush[cookie=6]");
    }

    @Test
    void decodesMetaContextOptions() {
        assertThat(decode(
                        FLAGS,
                        OPTION + "00000005 00000000",
                        OPTION + "0000000b 00000000",
                        OPTION + "00000009 0000000c 00000004 6469736b 00000000",
                        OPTION + "0000000a 00000015 00000000 00000002 00000005 626173653a 00000000"))
                .endsWith(
                        "StartTls[]",
                        "ExtendedHeaders[]",
                        "ListMetaContexts[name=disk, queries=[]]",
                        "SetMetaContexts[name=, queries=[base:, ]]");
    }

    @Test
    void saysWhatIsWrongWithAMetaContextOptionAndGoesOn() {
        assertThat(decode(
                        FLAGS,
                        OPTION + "00000005 00000001 00",
                        OPTION + "0000000a 00000007 00000000 000000",
                        OPTION + "0000000a 0000000c 00000005 6469736b 00000000",
                        OPTION + "0000000a 0000000c 00000000 00000002 00000000",
                        OPTION + "0000000a 0000000c 00000000 ffffffff 00000000",
                        OPTION + "0000000a 0000000c 00000000 00000001 ffffffff",
                        OPTION + "0000000a 0000000e 00000000 00000001 00000002 c328",
                        OPTION + "0000000a 0000000d 00000000 00000001 00000000 00",
                        OPTION + "0000000a 0000010c 00000000 00000041" + "00000000".repeat(65),
                        OPTION + "00000003 00000000"))
                .endsWith(
                        "Malformed[code=5, replyType=-2147483645, message=this option has no data]",
                        "Malformed[code=10, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=10, replyType=-2147483645, message=" + BAD_NAME,
                        "Malformed[code=10, replyType=-2147483645, message=there are fewer queries than the option says]",
                        "Malformed[code=10, replyType=-2147483645, message=there are fewer queries than the option says]",
                        "Malformed[code=10, replyType=-2147483645, message=" + BAD_QUERY,
                        "Malformed[code=10, replyType=-2147483645, message=" + BAD_QUERY,
                        "Malformed[code=10, replyType=-2147483645, message=there is more option data than queries]",
                        "Malformed[code=10, replyType=-2147483639, message=more than 64 queries]",
                        "ListExports[]");
    }

    @Test
    void skipsMetaContextDataThatIsTooLong() {
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        NbdServerDecoderTest::startOnGo,
                        Wire.bytes(
                                FLAGS, OPTION + "0000000a 00010000" + "00".repeat(65536), OPTION + "00000003 00000000"),
                        5,
                        100,
                        40000))
                .endsWith(
                        "Malformed[code=10, replyType=-2147483639, message=option data is longer than 16648 bytes]",
                        "ListExports[]");
    }

    /** The messages after a handshake that chose extended headers. */
    private static List<String> extended(String... parts) {
        List<String> messages = Wire.decodeAtEverySplit(
                NbdServerDecoder::new,
                (decoder, message) -> {
                    if (message instanceof NbdClientFlags) {
                        decoder.startTransmission(NbdHeaders.EXTENDED);
                    }
                },
                Wire.bytes(FLAGS, String.join("", parts)));
        return messages.subList(1, messages.size());
    }

    @Test
    void decodesExtendedRequests() {
        assertThat(extended(
                        EXTENDED + "0004 0000 0000000000000001 0000000000001000 0000000000000200",
                        EXTENDED + "0021 0001 0000000000000002 0000000000000010 0000000000000003 aabbcc",
                        EXTENDED + "0020 0001 0000000000000003 0000000000000010 0000000000000000",
                        EXTENDED + "0000 0003 0000000000000004 0000000000000000 0000000000000000",
                        EXTENDED + "0001 0004 0000000000000005 0000000000001000 0000010000000000",
                        EXTENDED + "0012 0006 0000000000000006 0000000000000000 7fffffffffffffff",
                        EXTENDED + "0000 0005 0000000000000007 0000000000000000 ffffffffffffffff",
                        EXTENDED + "0008 0007 0000000000000008 0000000000000000 0000000100000000",
                        EXTENDED + "0000 0002 0000000000000000 0000000000000000 0000000000000000"))
                .containsExactly(
                        "Read[cookie=1, offset=4096, lengthBytes=512, noFragment=true]",
                        "Write[cookie=2, offset=16, data=aabbcc, fua=true, remainingBytes=0]",
                        "Write[cookie=3, offset=16, data=, fua=false, remainingBytes=0]",
                        "Flush[cookie=4]",
                        "Trim[cookie=5, offset=4096, lengthBytes=1099511627776, fua=true]",
                        "WriteZeroes[cookie=6, offset=0, lengthBytes=9223372036854775807, noHole=true, fast=true, fua=false]",
                        "Cache[cookie=7, offset=0, lengthBytes=-1]",
                        "BlockStatus[cookie=8, offset=0, lengthBytes=4294967296, one=true]",
                        "Disconnect[cookie=0]");
    }

    @Test
    void refusesWhatAnExtendedRequestMayNotSayAndGoesOn() {
        assertThat(extended(
                        EXTENDED + "0004 0001 0000000000000001 0000000000001000 0000000000000004 aabbccdd",
                        EXTENDED + "0020 0007 0000000000000002 0000000000001000 000000000000000c" + "11".repeat(12),
                        EXTENDED + "0024 0001 0000000000000003 0000000000001000 0000000000000002 aabb",
                        EXTENDED + "0000 0000 0000000000000004 0000000000001000 8000000000000000",
                        EXTENDED + "0020 0099 0000000000000005 0000000000001000 0000000000000001 cc",
                        EXTENDED + "0000 0003 0000000000000006 0000000000000000 0000000000000000"))
                .containsExactly(
                        "Refused[cookie=1, offset=4096, error=EINVAL, message=flags 0x4 are not allowed for command 1]",
                        "Refused[cookie=2, offset=4096, error=EINVAL, message=flags 0x20 are not allowed for command 7]",
                        "Refused[cookie=3, offset=4096, error=EINVAL, message=flags 0x4 are not allowed for command 1]",
                        "Refused[cookie=4, offset=4096, error=EINVAL, message=a payload of 9223372036854775808 bytes is longer than 33554432]",
                        "Refused[cookie=5, offset=4096, error=EINVAL, message=flags 0x20 are not allowed for command 153]",
                        "Flush[cookie=6]");
    }

    @Test
    void anExtendedWriteHasItsDataWithoutTheFlagForItToo() {
        assertThat(extended(
                        EXTENDED + "0000 0001 0000000000000001 0000000000001000 0000000000000003 aabbcc",
                        EXTENDED + "0001 0001 0000000000000002 0000000000002000 0000000000000000",
                        EXTENDED + "0020 0001 0000000000000003 0000000000003000 0000000000000003 aabbcc",
                        EXTENDED + "0000 0003 0000000000000004 0000000000000000 0000000000000000"))
                .containsExactly(
                        "Write[cookie=1, offset=4096, data=aabbcc, fua=false, remainingBytes=0]",
                        "Write[cookie=2, offset=8192, data=, fua=true, remainingBytes=0]",
                        "Write[cookie=3, offset=12288, data=aabbcc, fua=false, remainingBytes=0]",
                        "Flush[cookie=4]");
    }

    @Test
    void anExtendedPayloadBeyondTheLimitEndsTheConnection() {
        assertThat(extended(EXTENDED + "0020 0001 0000000000000001 0000000000001000 0000000002000001"))
                .containsExactly("NbdProtocolException: a payload of 33554433 bytes is longer than 33554432");
        assertThat(extended(EXTENDED + "0020 0007 0000000000000001 0000000000001000 ffffffffffffffff"))
                .containsExactly(
                        "NbdProtocolException: a payload of 18446744073709551615 bytes is longer than 33554432");
        assertThat(extended(REQUEST + "0000 0003 0000000000000006 0000000000000000 0000000000000000"))
                .containsExactly("NbdProtocolException: bad magic 0x25609513 where a request begins");
    }

    @Test
    void aClientThatLeavesGetsNoReplyWhateverItsFlags() {
        assertThat(requests(REQUEST + "00ff 0002 0000000000000003 0000000000000001 00000001"))
                .containsExactly("Disconnect[cookie=3]");
    }

    @Test
    void plainTextBehindStartTlsIsRefused() {
        byte[] bytes = Wire.bytes(FLAGS, OPTION + "00000005 00000000", OPTION + "00000008 00000000");
        int end = bytes.length - 16;
        for (int cut : new int[] {0, 3, 4, 19, end - 1, end + 1, end + 15}) {
            assertThat(Wire.decode(
                            NbdServerDecoder::new,
                            (decoder, message) -> {
                                if (message instanceof NbdOption.StartTls) {
                                    decoder.startTls();
                                }
                            },
                            bytes,
                            cut))
                    .as("cut at %d", cut)
                    .endsWith("StartTls[]", "NbdProtocolException: plain text where TLS must begin");
        }
    }

    @Test
    void plainTextThatWasHeldBehindStartTlsIsRefused() {
        List<Object> messages = new ArrayList<>();
        NbdServerDecoder decoder = new NbdServerDecoder();
        EmbeddedChannel channel = new EmbeddedChannel(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                messages.add(message);
                if (message instanceof NbdOption.StartTls) {
                    decoder.startTls();
                }
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                messages.add(cause.getMessage());
            }
        });
        decoder.pause();
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(FLAGS, OPTION + "00000005 00000000")));
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(OPTION + "00000008 00000000")));
        decoder.resume();
        assertThat(messages)
                .endsWith(new NbdOption.StartTls(), "plain text where TLS must begin")
                .hasSize(3);
        channel.finishAndReleaseAll();
    }

    @Test
    void nothingBehindStartTlsIsAsItShouldBe() {
        byte[] bytes = Wire.bytes(FLAGS, OPTION + "00000005 00000000", OPTION + "00000008 00000000");
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        (decoder, message) -> {
                            if (message instanceof NbdOption.StartTls) {
                                decoder.startTls();
                            }
                        },
                        bytes,
                        20))
                .endsWith("StartTls[]", "StructuredReply[]");
    }

    @Test
    void readsMayForbidFragmentsOnlyWithStructuredReplies() {
        byte[] bytes = Wire.bytes(FLAGS, GO_DISK, REQUEST + "0004 0000 0000000000000001 0000000000000000 00000001");
        assertThat(Wire.decode(
                        NbdServerDecoder::new,
                        (decoder, message) -> {
                            if (message instanceof NbdOption.Go) {
                                decoder.startTransmission(NbdHeaders.SIMPLE);
                            }
                        },
                        bytes))
                .last()
                .asString()
                .startsWith("Refused[cookie=1, offset=0");
    }

    @Test
    void drainsAWriteThatIsTooLongWithoutHoldingIt() {
        EmbeddedChannel channel = new EmbeddedChannel(new NbdServerDecoder(), new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                startOnGo(ctx.pipeline().get(NbdServerDecoder.class), message);
                ctx.fireChannelRead(message);
            }
        });
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(FLAGS, GO_DISK)));
        channel.releaseInbound();
        channel.writeInbound(
                Unpooled.wrappedBuffer(Wire.bytes(REQUEST + "0000 0001 0000000000000007 0000000000000000 02000001")));
        assertThat(channel.<NbdRequest.Refused>readInbound().cookie()).isEqualTo(7);
        byte[] chunk = new byte[1 << 20];
        for (int i = 0; i < 32; i++) {
            ByteBuf piece = Unpooled.wrappedBuffer(chunk);
            channel.writeInbound(piece);
            assertThat(piece.refCnt()).isZero();
        }
        channel.writeInbound(Unpooled.wrappedBuffer(
                Wire.bytes("00", REQUEST + "0000 0003 0000000000000008 0000000000000000 00000000")));
        assertThat(channel.<NbdRequest>readInbound()).isEqualTo(new NbdRequest.Flush(8));
        channel.finishAndReleaseAll();
    }

    @Test
    void aLongWriteComesInPieces() {
        int lengthBytes = 2 * NbdServerDecoder.PIECE_BYTES + 3;
        byte[] bytes = Wire.bytes(
                FLAGS,
                GO_DISK,
                REQUEST + "0001 0001 0000000000000007 0000000000001000 %08x".formatted(lengthBytes),
                "ab".repeat(lengthBytes),
                REQUEST + "0000 0003 0000000000000008 0000000000000000 00000000");
        String[] pieces = {
            "Write[cookie=7, offset=4096, data=%s, fua=true, remainingBytes=262147]".formatted("ab".repeat(262144)),
            "Write[cookie=7, offset=266240, data=%s, fua=true, remainingBytes=3]".formatted("ab".repeat(262144)),
            "Write[cookie=7, offset=528384, data=ababab, fua=true, remainingBytes=0]",
            "Flush[cookie=8]"
        };
        for (int cut : new int[] {50, 80, 100_000, 262_220, 262_230, 400_000, bytes.length - 30}) {
            List<String> messages = Wire.decode(NbdServerDecoder::new, NbdServerDecoderTest::startOnGo, bytes, cut);
            assertThat(messages.subList(2, messages.size()))
                    .as("cut at %d", cut)
                    .containsExactly(pieces);
        }
    }

    @Test
    void howLongAPieceMayBeIsAskedWhenItBegins() {
        List<String> messages = new ArrayList<>();
        AtomicInteger mostBytes = new AtomicInteger(3);
        NbdServerDecoder decoder = new NbdServerDecoder();
        EmbeddedChannel channel = new EmbeddedChannel(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                if (message instanceof NbdRequest) {
                    messages.add(Wire.describe(message));
                }
            }
        });
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(FLAGS)));
        decoder.startTransmission(NbdHeaders.SIMPLE);
        decoder.takeWritesIn(mostBytes::get);
        channel.writeInbound(Unpooled.wrappedBuffer(
                Wire.bytes(REQUEST + "0000 0001 0000000000000007 0000000000001000 00000009 aabb")));
        mostBytes.set(5);
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes("ccddeeffaabbcc")));
        assertThat(messages)
                .containsExactly(
                        "Write[cookie=7, offset=4096, data=aabbcc, fua=false, remainingBytes=6]",
                        "Write[cookie=7, offset=4099, data=ddeeffaabb, fua=false, remainingBytes=1]",
                        "Write[cookie=7, offset=4104, data=cc, fua=false, remainingBytes=0]");
        channel.finishAndReleaseAll();
    }

    @Test
    void aBadRequestMagicEndsTheConnection() {
        assertThat(requests("25609514 0000 0003 0000000000000006 0000000000000000 00000000"))
                .containsExactly("NbdProtocolException: bad magic 0x25609514 where a request begins");
    }

    @Test
    void whilePausedItHoldsWhatComesAndLaterGoesOnInOrder() {
        List<Object> messages = new ArrayList<>();
        NbdServerDecoder decoder = new NbdServerDecoder();
        EmbeddedChannel channel = new EmbeddedChannel(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                messages.add(message);
                startOnGo(decoder, message);
                decoder.pause();
            }
        });
        byte[] bytes = Wire.bytes(
                FLAGS,
                GO_DISK,
                REQUEST + "0000 0003 0000000000000001 0000000000000000 00000000",
                REQUEST + "0000 0003 0000000000000002 0000000000000000 00000000");
        channel.writeInbound(Unpooled.copiedBuffer(bytes, 0, 50));
        channel.writeInbound(Unpooled.copiedBuffer(bytes, 50, bytes.length - 50));
        assertThat(messages).hasSize(1);
        decoder.resume();
        assertThat(messages).hasSize(2);
        decoder.resume();
        assertThat(messages).endsWith(new NbdRequest.Flush(1));
        decoder.resume();
        assertThat(messages).endsWith(new NbdRequest.Flush(2)).hasSize(4);
        decoder.resume();
        assertThat(messages).hasSize(4);
        channel.finishAndReleaseAll();
    }

    @Test
    void nonsenseThatWasHeldEndsTheConnectionWhenItIsDecoded() {
        List<Object> messages = new ArrayList<>();
        NbdServerDecoder decoder = new NbdServerDecoder();
        EmbeddedChannel channel = new EmbeddedChannel(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                decoder.pause();
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                messages.add(cause);
            }
        });
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(FLAGS, "00".repeat(16))));
        assertThat(messages).isEmpty();
        decoder.resume();
        assertThat(messages).singleElement().isInstanceOf(NbdProtocolException.class);
        channel.finishAndReleaseAll();
    }

    @Test
    void releasesAnUnfinishedWriteWhenTheConnectionEnds() {
        NbdServerDecoder decoder = new NbdServerDecoder();
        EmbeddedChannel channel = new EmbeddedChannel(decoder);
        channel.writeInbound(Unpooled.wrappedBuffer(Wire.bytes(FLAGS)));
        decoder.startTransmission(NbdHeaders.STRUCTURED);
        ByteBuf half = Unpooled.wrappedBuffer(
                Wire.bytes(REQUEST + "0000 0001 0000000000000001 0000000000000000 00000004 aabb"));
        channel.writeInbound(half);
        channel.finishAndReleaseAll();
        assertThat(half.refCnt()).isZero();
    }

    @Test
    void survivesGarbage() {
        long seed = System.nanoTime();
        RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(seed);
        for (int round = 0; round < 2000; round++) {
            byte[] garbage = new byte[random.nextInt(1, 200)];
            random.nextBytes(garbage);
            byte[] bytes = switch (round % 3) {
                case 0 -> garbage;
                case 1 -> concat(Wire.bytes(FLAGS, OPTION), garbage);
                default -> concat(Wire.bytes(FLAGS, GO_DISK, REQUEST), garbage);
            };
            assertThat(Wire.decode(
                            NbdServerDecoder::new,
                            NbdServerDecoderTest::startOnGo,
                            bytes,
                            random.nextInt(bytes.length)))
                    .as("seed %d round %d", seed, round)
                    .allMatch(message -> !message.contains("Exception") || message.startsWith("NbdProtocolException"));
        }
    }

    private static byte[] concat(byte[] first, byte[] second) {
        return Wire.bytes(Unpooled.wrappedBuffer(first, second));
    }
}
