package io.vmft.proto.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.buffer.UnpooledByteBufAllocator;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.util.ReferenceCountUtil;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.function.Supplier;
import net.jqwik.api.Arbitraries;
import net.jqwik.api.Arbitrary;
import net.jqwik.api.Combinators;
import net.jqwik.api.ForAll;
import net.jqwik.api.From;
import net.jqwik.api.Property;
import net.jqwik.api.Provide;
import net.jqwik.api.constraints.IntRange;

/** What one side encodes the other decodes, however the bytes are cut; and what nobody would encode is bounded. */
class NbdRoundTripTest {
    private static final int MEMORY_BYTES = Nbd.MAX_PAYLOAD_BYTES + (64 << 10);

    private static Arbitrary<Long> longs() {
        return Arbitraries.longs();
    }

    private static Arbitrary<Long> lengths(NbdHeaders headers) {
        return Arbitraries.longs().between(0, headers == NbdHeaders.EXTENDED ? Long.MAX_VALUE : 0xffff_ffffL);
    }

    private static Arbitrary<Boolean> flag() {
        return Arbitraries.of(true, false);
    }

    private static Arbitrary<NbdRequest> request(NbdHeaders headers) {
        Arbitrary<Long> lengths = lengths(headers);
        return Arbitraries.oneOf(
                Combinators.combine(longs(), longs(), Arbitraries.integers().between(0, Nbd.MAX_PAYLOAD_BYTES), flag())
                        .as((cookie, offset, length, whole) ->
                                new NbdRequest.Read(cookie, offset, length, whole && headers.chunked())),
                Combinators.combine(longs(), longs(), Arbitraries.bytes().array(byte[].class), flag())
                        .as((cookie, offset, data, fua) ->
                                new NbdRequest.Write(cookie, offset, Unpooled.wrappedBuffer(data), fua)),
                Combinators.combine(longs(), longs(), lengths, flag()).as(NbdRequest.Trim::new),
                Combinators.combine(longs(), longs(), lengths, flag(), flag(), flag())
                        .as(NbdRequest.WriteZeroes::new),
                Combinators.combine(longs(), longs(), lengths).as(NbdRequest.Cache::new),
                Combinators.combine(longs(), longs(), lengths, flag()).as(NbdRequest.BlockStatus::new),
                longs().map(NbdRequest.Flush::new),
                longs().map(NbdRequest.Disconnect::new));
    }

    record Requests(NbdHeaders headers, List<NbdRequest> list) {}

    @Provide
    Arbitrary<Requests> requests() {
        return Arbitraries.of(NbdHeaders.values())
                .flatMap(headers ->
                        request(headers).list().ofMaxSize(8).map(requests -> new Requests(headers, requests)));
    }

    @Property(tries = 400)
    void requestsComeBackAsTheyWere(@ForAll("requests") Requests requests, @ForAll("cuts") List<Integer> cuts) {
        ByteBuf out = Unpooled.buffer().writeInt(Nbd.FLAG_FIXED_NEWSTYLE);
        List<String> expected = new ArrayList<>();
        for (NbdRequest request : requests.list()) {
            NbdClientEncoder.request(out, requests.headers(), request);
            if (request instanceof NbdRequest.Write write) {
                out.writeBytes(write.data(), 0, write.data().readableBytes());
            }
            expected.add(Wire.describe(request));
        }
        List<String> received = Wire.decode(
                NbdServerDecoder::new,
                (decoder, message) -> {
                    if (message instanceof NbdClientFlags) {
                        decoder.startTransmission(requests.headers());
                    }
                },
                Wire.bytes(out),
                clip(cuts, out.writerIndex()));
        assertThat(received.subList(1, received.size())).isEqualTo(expected);
    }

    @Provide
    Arbitrary<List<Integer>> cuts() {
        return Arbitraries.integers().between(1, 600).list().ofMaxSize(6);
    }

    /** Cuts that lie inside. */
    private static int[] clip(List<Integer> cuts, int length) {
        return cuts.stream()
                .filter(cut -> cut < length)
                .distinct()
                .sorted()
                .mapToInt(Integer::intValue)
                .toArray();
    }

    @Provide
    Arbitrary<NbdOption> option() {
        Arbitrary<String> text = Arbitraries.strings()
                .excludeChars('\0')
                .ofMaxLength(40)
                .map(string -> new String(string.getBytes(StandardCharsets.UTF_8), StandardCharsets.UTF_8));
        Arbitrary<List<String>> queries = text.list().ofMaxSize(Nbd.MAX_QUERIES);
        Arbitrary<List<Integer>> information =
                Arbitraries.integers().between(0, 0xffff).list().ofMaxSize(64);
        return Arbitraries.oneOf(
                Arbitraries.of(
                        new NbdOption.Abort(),
                        new NbdOption.ListExports(),
                        new NbdOption.StartTls(),
                        new NbdOption.StructuredReply(),
                        new NbdOption.ExtendedHeaders()),
                text.map(NbdOption.ExportName::new),
                Combinators.combine(text, information).as(NbdOption.Go::new),
                Combinators.combine(text, information).as(NbdOption.Describe::new),
                Combinators.combine(text, queries).as(NbdOption.ListMetaContexts::new),
                Combinators.combine(text, queries).as(NbdOption.SetMetaContexts::new));
    }

    @Property(tries = 400)
    void optionsComeBackAsTheyWere(
            @ForAll List<@From("option") NbdOption> options, @ForAll("cuts") List<Integer> cuts) {
        ByteBuf out = Unpooled.buffer().writeInt(Nbd.FLAG_FIXED_NEWSTYLE);
        options.forEach(option -> NbdClientEncoder.option(out, option));
        List<String> received =
                Wire.decode(NbdServerDecoder::new, (_, _) -> {}, Wire.bytes(out), clip(cuts, out.writerIndex()));
        assertThat(received.subList(1, received.size()))
                .isEqualTo(options.stream().map(Object::toString).toList());
    }

    record Status(NbdHeaders headers, NbdRequest request, int context, List<NbdExtent> extents) {}

    @Provide
    Arbitrary<Status> statuses() {
        return Arbitraries.of(NbdHeaders.STRUCTURED, NbdHeaders.EXTENDED).flatMap(headers -> {
            boolean extended = headers == NbdHeaders.EXTENDED;
            Arbitrary<NbdExtent> extent = Combinators.combine(
                            Arbitraries.longs().between(1, extended ? Long.MAX_VALUE / 16 : 0xffff_ffffL),
                            extended ? longs() : Arbitraries.longs().between(0, 0xffff_ffffL))
                    .as(NbdExtent::new);
            return Combinators.combine(
                            longs(),
                            longs(),
                            Arbitraries.integers(),
                            extent.list().ofMinSize(1).ofMaxSize(16))
                    .as((cookie, offset, context, extents) -> new Status(
                            headers,
                            new NbdRequest.BlockStatus(cookie, offset, 4096, extents.size() == 1),
                            context,
                            extents));
        });
    }

    @Property(tries = 400)
    void blockStatusComesBackAsItWas(@ForAll("statuses") Status status, @ForAll("cuts") List<Integer> cuts) {
        ByteBuf out = Unpooled.buffer();
        NbdServerEncoder.greeting(out);
        List<NbdExtent> extents = status.extents();
        int start = out.writerIndex();
        NbdServerEncoder.statusHeader(out, status.headers(), status.request(), false, status.context(), extents.size());
        extents.forEach(extent -> NbdServerEncoder.extent(out, status.headers(), extent.lengthBytes(), extent.flags()));
        assertThat(out.writerIndex() - start).isLessThanOrEqualTo(NbdServerEncoder.statusBytes(extents.size()));
        NbdServerEncoder.failure(out, status.headers(), status.request(), NbdError.EIO, "no");
        long cookie = status.request().cookie();
        assertThat(Wire.decode(
                        NbdClientDecoder::new,
                        startOnGreeting(status.headers(), status.request()),
                        Wire.bytes(out),
                        clip(cuts, out.writerIndex())))
                .containsExactly(
                        "NbdGreeting[fixedNewstyle=true, noZeroes=true]",
                        new NbdReply.BlockStatus(cookie, false, status.context(), extents).toString(),
                        new NbdReply.Failure(cookie, true, NbdError.EIO, "no").toString());
    }

    private static BiConsumer<NbdClientDecoder, Object> startOnGreeting(NbdHeaders headers, NbdRequest pending) {
        return (decoder, message) -> {
            if (message instanceof NbdGreeting) {
                decoder.startTransmission(headers, _ -> pending);
            }
        };
    }

    @Property(tries = 400)
    void readsComeBackAsTheyWere(
            @ForAll NbdHeaders headers, @ForAll long cookie, @ForAll long offset, @ForAll byte[] data) {
        NbdRequest read = new NbdRequest.Read(cookie, offset, data.length, false);
        ByteBuf out = Unpooled.buffer();
        NbdServerEncoder.greeting(out);
        if (data.length > 0) {
            int start = out.writerIndex();
            NbdServerEncoder.dataHeader(out, headers, read, true, offset, data.length);
            assertThat(out.writerIndex() - start).isEqualTo(headers.dataHeaderBytes());
            out.writeBytes(data);
        } else {
            NbdServerEncoder.success(out, headers, read);
        }
        NbdReply expected;
        if (data.length == 0) {
            expected = headers.chunked() ? new NbdReply.None(cookie) : new NbdReply.Simple(cookie, NbdError.OK);
        } else {
            ByteBuf bytes = Unpooled.wrappedBuffer(data);
            expected = headers.chunked()
                    ? new NbdReply.Data(cookie, true, offset, bytes)
                    : new NbdReply.SimpleData(cookie, bytes);
        }
        assertThat(Wire.decode(NbdClientDecoder::new, startOnGreeting(headers, read), Wire.bytes(out)))
                .endsWith(Wire.describe(expected))
                .hasSize(2);
    }

    @Property(tries = 1000)
    void aServerHoldsNoMoreThanItsLimitsWhateverComes(@ForAll NbdHeaders headers, @ForAll byte[] garbage) {
        long magic = headers == NbdHeaders.EXTENDED ? Nbd.EXTENDED_REQUEST_MAGIC : Nbd.REQUEST_MAGIC;
        ByteBuf in = Unpooled.buffer()
                .writeInt(Nbd.FLAG_FIXED_NEWSTYLE)
                .writeInt((int) magic)
                .writeByte(0);
        survives(NbdServerDecoder::new, in.writeBytes(garbage), (decoder, message) -> {
            if (message instanceof NbdClientFlags) {
                decoder.startTransmission(headers);
            }
        });
    }

    @Property(tries = 1000)
    void aServersHandshakeHoldsNoMoreThanItsLimitsWhateverComes(
            @ForAll @IntRange(max = 12) int option, @ForAll byte[] garbage) {
        ByteBuf in = Unpooled.buffer()
                .writeInt(Nbd.FLAG_FIXED_NEWSTYLE)
                .writeLong(Nbd.OPTION_MAGIC)
                .writeInt(option);
        survives(NbdServerDecoder::new, in.writeBytes(garbage), (_, _) -> {});
    }

    @Property(tries = 1000)
    void aClientHoldsNoMoreThanWasAskedForWhateverComes(
            @ForAll NbdHeaders headers,
            @ForAll boolean done,
            @ForAll @IntRange(max = 7) int type,
            @ForAll boolean status,
            @ForAll byte[] garbage) {
        ByteBuf in = Unpooled.buffer();
        NbdServerEncoder.greeting(in);
        in.writeInt(
                switch (headers) {
                    case SIMPLE -> Nbd.SIMPLE_REPLY_MAGIC;
                    case STRUCTURED -> Nbd.STRUCTURED_REPLY_MAGIC;
                    case EXTENDED -> Nbd.EXTENDED_REPLY_MAGIC;
                });
        in.writeShort(done ? 1 : 0).writeShort(type).writeLong(7);
        if (headers == NbdHeaders.EXTENDED) {
            in.writeLong(4096);
        }
        NbdRequest pending = status
                ? new NbdRequest.BlockStatus(7, 4096, 1 << 20, false)
                : new NbdRequest.Read(7, 4096, 1 << 20, false);
        survives(NbdClientDecoder::new, in.writeBytes(garbage), startOnGreeting(headers, pending));
    }

    /** Everything ends in messages or a refusal, and nothing is left in memory. */
    private static <D extends NbdUnitDecoder> void survives(
            Supplier<D> decoders, ByteBuf in, BiConsumer<D, Object> onMessage) {
        UnpooledByteBufAllocator memory = new UnpooledByteBufAllocator(true);
        D decoder = decoders.get();
        List<Throwable> failures = new ArrayList<>();
        EmbeddedChannel channel = new EmbeddedChannel();
        channel.config().setAllocator(memory);
        channel.pipeline().addLast(decoder, new ChannelInboundHandlerAdapter() {
            @Override
            public void channelRead(ChannelHandlerContext ctx, Object message) {
                onMessage.accept(decoder, message);
                if (message instanceof NbdRequest.Write write) {
                    write.data().release();
                } else if (message instanceof NbdReply.Data data) {
                    data.data().release();
                } else if (message instanceof NbdReply.SimpleData data) {
                    data.data().release();
                } else {
                    ReferenceCountUtil.release(message);
                }
            }

            @Override
            public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
                failures.add(cause);
            }
        });
        byte[] bytes = Wire.bytes(in);
        int middle = bytes.length / 2;
        channel.writeInbound(Unpooled.wrappedBuffer(Arrays.copyOfRange(bytes, 0, middle)));
        channel.writeInbound(Unpooled.wrappedBuffer(Arrays.copyOfRange(bytes, middle, bytes.length)));
        assertThat(memory.metric().usedDirectMemory()).isLessThan(MEMORY_BYTES);
        channel.finishAndReleaseAll();
        assertThat(failures).allMatch(NbdProtocolException.class::isInstance);
        assertThat(memory.metric().usedDirectMemory()).isZero();
    }
}
