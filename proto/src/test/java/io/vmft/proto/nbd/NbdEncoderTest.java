package io.vmft.proto.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatIllegalArgumentException;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

class NbdEncoderTest {
    private static byte[] written(Consumer<ByteBuf> encoder) {
        ByteBuf out = Unpooled.buffer();
        encoder.accept(out);
        return Wire.bytes(out);
    }

    @Test
    void greets() {
        assertThat(written(NbdServerEncoder::greeting)).isEqualTo(Wire.bytes("'NBDMAGIC'", "'IHAVEOPT'", "0003"));
    }

    @Test
    void encodesReplies() {
        assertThat(written(out -> {
                    NbdServerEncoder.failure(out, NbdHeaders.SIMPLE, write(7), NbdError.ENOSPC, "full");
                    NbdServerEncoder.success(out, NbdHeaders.SIMPLE, read(6));
                    NbdServerEncoder.success(out, NbdHeaders.STRUCTURED, write(6));
                    NbdServerEncoder.success(out, NbdHeaders.STRUCTURED, read(8));
                    NbdServerEncoder.dataHeader(out, NbdHeaders.STRUCTURED, read(9), true, 4096, 3);
                    NbdServerEncoder.hole(out, NbdHeaders.STRUCTURED, read(10), false, 8192, 512);
                    NbdServerEncoder.failure(out, NbdHeaders.STRUCTURED, read(11), NbdError.EPERM, "no");
                    NbdServerEncoder.statusHeader(out, NbdHeaders.STRUCTURED, read(12), true, 5, 1);
                    NbdServerEncoder.extent(out, NbdHeaders.STRUCTURED, 0xffff_0000L, 3);
                }))
                .isEqualTo(Wire.bytes(
                        "67446698 0000001c 0000000000000007",
                        "67446698 00000000 0000000000000006",
                        "67446698 00000000 0000000000000006",
                        "668e33ef 0001 0000 0000000000000008 00000000",
                        "668e33ef 0001 0001 0000000000000009 0000000b 0000000000001000",
                        "668e33ef 0000 0002 000000000000000a 0000000c 0000000000002000 00000200",
                        "668e33ef 0001 8001 000000000000000b 00000008 00000001 0002 6e6f",
                        "668e33ef 0001 0005 000000000000000c 0000000c 00000005 ffff0000 00000003"));
    }

    private static NbdRequest read(long cookie) {
        return new NbdRequest.Read(cookie, 0x1000, 512, false);
    }

    private static NbdRequest write(long cookie) {
        return new NbdRequest.Write(cookie, 0x1000, Unpooled.EMPTY_BUFFER, false);
    }

    @Test
    void encodesExtendedReplies() {
        assertThat(written(out -> {
                    NbdServerEncoder.success(out, NbdHeaders.EXTENDED, write(6));
                    NbdServerEncoder.dataHeader(out, NbdHeaders.EXTENDED, read(9), true, 0x1001, 3);
                    NbdServerEncoder.hole(out, NbdHeaders.EXTENDED, read(10), false, 0x1000, 512);
                    NbdServerEncoder.failure(out, NbdHeaders.EXTENDED, write(11), NbdError.EPERM, "no");
                    NbdServerEncoder.statusHeader(out, NbdHeaders.EXTENDED, read(12), true, 5, 1);
                    NbdServerEncoder.extent(out, NbdHeaders.EXTENDED, 1L << 40, 3);
                }))
                .isEqualTo(Wire.bytes(
                        "6e8a278c 0001 0000 0000000000000006 0000000000001000 0000000000000000",
                        "6e8a278c 0001 0001 0000000000000009 0000000000001000 000000000000000b 0000000000001001",
                        "6e8a278c 0000 0002 000000000000000a 0000000000001000 000000000000000c 0000000000001000 00000200",
                        "6e8a278c 0001 8001 000000000000000b 0000000000001000 0000000000000008 00000001 0002 6e6f",
                        "6e8a278c 0001 0006 000000000000000c 0000000000001000 0000000000000018 00000005 00000001",
                        "0000010000000000 0000000000000003"));
    }

    @Test
    void encodesExtendedRequests() {
        assertThat(written(out -> {
                    NbdHeaders headers = NbdHeaders.EXTENDED;
                    NbdClientEncoder.request(out, headers, new NbdRequest.Read(1, 4096, 512, true));
                    NbdClientEncoder.request(
                            out,
                            headers,
                            new NbdRequest.Write(2, 16, Unpooled.wrappedBuffer(new byte[] {1, 2, 3}), true));
                    NbdClientEncoder.request(out, headers, new NbdRequest.Trim(4, 0, 1L << 40, false));
                    NbdClientEncoder.request(out, headers, new NbdRequest.BlockStatus(5, 0, Long.MAX_VALUE, true));
                }))
                .isEqualTo(Wire.bytes(
                        "21e41c71 0004 0000 0000000000000001 0000000000001000 0000000000000200",
                        "21e41c71 0021 0001 0000000000000002 0000000000000010 0000000000000003",
                        "21e41c71 0000 0004 0000000000000004 0000000000000000 0000010000000000",
                        "21e41c71 0008 0007 0000000000000005 0000000000000000 7fffffffffffffff"));
    }

    @Test
    void aLengthThatDoesNotFitIsNotSent() {
        assertThatIllegalArgumentException()
                .isThrownBy(() -> NbdClientEncoder.request(
                        Unpooled.buffer(), NbdHeaders.STRUCTURED, new NbdRequest.Trim(1, 0, 1L << 32, false)))
                .withMessage("a request cannot cover 4294967296 bytes");
    }

    @Test
    void encodesRequests() {
        assertThat(written(out -> {
                    NbdClientEncoder.request(out, NbdHeaders.STRUCTURED, new NbdRequest.Read(1, 4096, 512, true));
                    NbdClientEncoder.request(
                            out,
                            NbdHeaders.STRUCTURED,
                            new NbdRequest.Write(2, 16, Unpooled.wrappedBuffer(new byte[] {1, 2, 3}), true));
                    NbdClientEncoder.request(out, NbdHeaders.STRUCTURED, new NbdRequest.Flush(3));
                    NbdClientEncoder.request(
                            out, NbdHeaders.STRUCTURED, new NbdRequest.Trim(4, 0, 0xffff_ffffL, false));
                    NbdClientEncoder.request(
                            out, NbdHeaders.STRUCTURED, new NbdRequest.WriteZeroes(5, 0, 4096, true, true, true));
                    NbdClientEncoder.request(
                            out, NbdHeaders.STRUCTURED, new NbdRequest.BlockStatus(6, 0x1000, 0xffff_ffffL, true));
                    NbdClientEncoder.request(out, NbdHeaders.STRUCTURED, new NbdRequest.Disconnect(0));
                }))
                .isEqualTo(Wire.bytes(
                        "25609513 0004 0000 0000000000000001 0000000000001000 00000200",
                        "25609513 0001 0001 0000000000000002 0000000000000010 00000003",
                        "25609513 0000 0003 0000000000000003 0000000000000000 00000000",
                        "25609513 0000 0004 0000000000000004 0000000000000000 ffffffff",
                        "25609513 0013 0006 0000000000000005 0000000000000000 00001000",
                        "25609513 0008 0007 0000000000000006 0000000000001000 ffffffff",
                        "25609513 0000 0002 0000000000000000 0000000000000000 00000000"));
    }

    @Test
    void optionsAndTheirRepliesComeBackAsTheyWere() {
        List<NbdOption> options = List.of(
                new NbdOption.StructuredReply(),
                new NbdOption.ListExports(),
                new NbdOption.Describe("dîsk", List.of(Nbd.INFO_NAME, Nbd.INFO_BLOCK_SIZE)),
                new NbdOption.Go("", List.of()),
                new NbdOption.StartTls(),
                new NbdOption.ExtendedHeaders(),
                new NbdOption.ListMetaContexts("dîsk", List.of()),
                new NbdOption.SetMetaContexts("disk", List.of("base:allocation", "x:é", "")),
                new NbdOption.Abort());
        byte[] sent = written(out -> {
            NbdClientEncoder.clientFlags(out, new NbdClientFlags(true, false));
            options.forEach(option -> NbdClientEncoder.option(out, option));
        });
        List<String> received = Wire.decodeAtEverySplit(NbdServerDecoder::new, (_, _) -> {}, sent);
        assertThat(received.subList(1, received.size()))
                .isEqualTo(options.stream().map(Object::toString).toList());

        List<NbdOptionReply> replies = List.of(
                new NbdOptionReply.Server(3, "a", "b"),
                new NbdOptionReply.Export(7, 1L << 40, 0x16d),
                new NbdOptionReply.Name(7, "a"),
                new NbdOptionReply.Description(7, "text"),
                new NbdOptionReply.BlockSize(7, 1, 4096, 32 << 20),
                new NbdOptionReply.MetaContext(10, -1, "base:allocation"),
                new NbdOptionReply.Failure(7, Nbd.REP_ERR_POLICY, "held"),
                new NbdOptionReply.Ack(7));
        byte[] answered = written(out -> {
            NbdServerEncoder.greeting(out);
            replies.forEach(reply -> NbdServerEncoder.optionReply(out, reply));
        });
        List<String> understood = Wire.decodeAtEverySplit(NbdClientDecoder::new, (_, _) -> {}, answered);
        assertThat(understood.subList(1, understood.size()))
                .isEqualTo(replies.stream().map(Object::toString).toList());
    }

    @Test
    void cutsLongTextAtACharacter() {
        byte[] reply = written(
                out -> NbdServerEncoder.failure(out, NbdHeaders.STRUCTURED, read(1), NbdError.EIO, "é".repeat(3000)));
        assertThat(reply).hasSize(20 + 6 + 4096);
        byte[] odd = written(out ->
                NbdServerEncoder.failure(out, NbdHeaders.STRUCTURED, read(1), NbdError.EIO, "a" + "é".repeat(3000)));
        assertThat(odd).hasSize(20 + 6 + 4095);
    }
}
