package io.vmft.proto.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.netty.channel.embedded.EmbeddedChannel;
import io.netty.handler.codec.CorruptedFrameException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class FrameCodecTest {
    /** COMPLETE of epoch 7, written out by hand; the CRC was computed with an independent tool. */
    private static final String COMPLETE_7 = "564d4654" + "0a000000" + "0000000000000007" + "00000000" + "ca244a5c";

    @Test
    void anEmptyFrameIsTwentyFourBytes() {
        assertThat(hex(encode(Frame.empty(FrameType.COMPLETE, 7)))).isEqualTo(COMPLETE_7);
    }

    @Test
    void framesSurviveEverySplit() {
        byte[] wire = encode(new Frame(FrameType.DEVICE_STATE, 3, bytes(1, 2, 3, 4, 5)), Frame.empty(FrameType.END, 3));
        for (int split = 0; split <= wire.length; split++) {
            EmbeddedChannel channel = decoder();
            channel.writeInbound(Unpooled.copiedBuffer(wire, 0, split));
            channel.writeInbound(Unpooled.copiedBuffer(wire, split, wire.length - split));
            Frame first = channel.readInbound();
            Frame second = channel.readInbound();
            assertThat(first.type()).isEqualTo(FrameType.DEVICE_STATE);
            assertThat(first.epoch()).isEqualTo(3);
            assertThat(hex(ByteBufUtil.getBytes(first.payload()))).isEqualTo("0102030405");
            assertThat(second.type()).isEqualTo(FrameType.END);
            assertThat(channel.<Frame>readInbound()).isNull();
            first.release();
            channel.finishAndReleaseAll();
        }
    }

    /** As a channel reads: into what the receiver gives, as much as there happens to be. */
    @Test
    void payloadsAreReadIntoTheirPlace() {
        Random random = new Random(5);
        for (int round = 0; round < 200; round++) {
            List<Frame> frames = new ArrayList<>();
            for (int i = random.nextInt(6); i >= 0; i--) {
                byte[] contents = new byte[random.nextBoolean() ? random.nextInt(40) : random.nextInt(1_200_000)];
                random.nextBytes(contents);
                frames.add(new Frame(FrameType.PAGES, i, Unpooled.wrappedBuffer(contents)));
            }
            List<byte[]> contents =
                    frames.stream().map(f -> ByteBufUtil.getBytes(f.payload())).toList();
            byte[] wire = encode(frames.toArray(Frame[]::new));
            FrameDecoder decoder = new FrameDecoder((type, length) -> Unpooled.directBuffer(length));
            EmbeddedChannel channel = new EmbeddedChannel(decoder);
            var receiver = decoder.receiver().newHandle();
            for (int at = 0; at < wire.length; ) {
                ByteBuf read = receiver.allocate(channel.alloc());
                int bytes = Math.min(wire.length - at, 1 + random.nextInt(read.writableBytes()));
                if (random.nextInt(10) == 0) {
                    // There was nothing to read.
                    read.release();
                    continue;
                }
                channel.writeInbound(read.writeBytes(wire, at, bytes));
                at += bytes;
            }
            for (byte[] sent : contents) {
                Frame frame = channel.readInbound();
                assertThat(ByteBufUtil.getBytes(frame.payload())).isEqualTo(sent);
                assertThat(frame.payload().refCnt()).isEqualTo(1);
                frame.release();
            }
            assertThat(channel.<Frame>readInbound()).isNull();
            channel.finishAndReleaseAll();
        }
    }

    @Test
    void damageInWhatIsReadIntoItsPlaceIsFound() {
        byte[] wire = encode(new Frame(FrameType.DEVICE_STATE, 3, bytes(new int[100])));
        wire[90] ^= 4;
        FrameDecoder decoder = new FrameDecoder((type, length) -> Unpooled.directBuffer(length));
        EmbeddedChannel channel = new EmbeddedChannel(decoder);
        var receiver = decoder.receiver().newHandle();
        channel.writeInbound(receiver.allocate(channel.alloc()).writeBytes(wire, 0, Frame.HEADER_BYTES));
        ByteBuf rest = receiver.allocate(channel.alloc());
        assertThat(rest.writableBytes()).isEqualTo(100);
        assertThatThrownBy(() -> channel.writeInbound(rest.writeBytes(wire, Frame.HEADER_BYTES, 100)))
                .hasMessageContaining("DEVICE_STATE frame of epoch 3: checksum");
        assertThat(rest.refCnt()).isZero();
        channel.finishAndReleaseAll();
    }

    @Test
    void everyFlippedBitIsFound() {
        byte[] wire = encode(new Frame(FrameType.DEVICE_STATE, 3, bytes(1, 2, 3)));
        for (int bit = 0; bit < wire.length * 8; bit++) {
            byte[] damaged = wire.clone();
            damaged[bit / 8] ^= (byte) (1 << (bit % 8));
            EmbeddedChannel channel = decoder();
            try {
                channel.writeInbound(Unpooled.copiedBuffer(damaged));
                // A longer length waits for bytes that never come: nothing was taken for a frame.
                assertThat(channel.<Frame>readInbound()).isNull();
            } catch (CorruptedFrameException expected) {
                assertThat(channel.<Frame>readInbound()).isNull();
            }
            channel.finishAndReleaseAll();
        }
    }

    @Test
    void nothingIsReadAfterADamagedFrame() {
        byte[] bad = encode(new Frame(FrameType.DEVICE_STATE, 3, bytes(1)));
        bad[24] ^= 1;
        EmbeddedChannel channel = decoder();
        assertThatThrownBy(() -> channel.writeInbound(Unpooled.copiedBuffer(bad)))
                .isInstanceOf(CorruptedFrameException.class)
                .hasMessageContaining("DEVICE_STATE frame of epoch 3: checksum");
        channel.writeInbound(Unpooled.copiedBuffer(encode(Frame.empty(FrameType.HEARTBEAT, 0))));
        assertThat(channel.<Frame>readInbound()).isNull();
        channel.finishAndReleaseAll();
    }

    @Test
    void aStrangerIsNamed() {
        EmbeddedChannel channel = decoder();
        assertThatThrownBy(() -> channel.writeInbound(Unpooled.copiedBuffer(
                        "GET / HTTP/1.1\r\nHost: x\r\n", java.nio.charset.StandardCharsets.UTF_8)))
                .hasMessageContaining("not a checkpoint frame");
        channel.finishAndReleaseAll();
    }

    @Test
    void pagesKeepIndexesAndContents() {
        ByteBuffer indexes = ByteBuffer.allocateDirect(24).order(ByteOrder.LITTLE_ENDIAN);
        indexes.putLong(0, 5).putLong(8, 6 | PagesPayload.ZERO_PAGE).putLong(16, 70_000);
        ByteBuffer pages = ByteBuffer.allocateDirect(2 * Frame.PAGE_BYTES);
        pages.put(0, (byte) 11).put(2 * Frame.PAGE_BYTES - 1, (byte) 22);
        EmbeddedChannel channel = decoder();
        channel.writeInbound(
                Unpooled.copiedBuffer(encode(new Frame(FrameType.PAGES, 4, PagesPayload.join(3, 2, indexes, pages)))));
        Frame frame = channel.readInbound();
        PagesPayload parsed = PagesPayload.parse(frame.payload(), 70_001);
        assertThat(parsed.count()).isEqualTo(3);
        List<Long> indexesSeen = new ArrayList<>();
        List<Integer> offsets = new ArrayList<>();
        parsed.forEach((index, offset) -> {
            indexesSeen.add(index);
            offsets.add(offset);
        });
        assertThat(indexesSeen).containsExactly(5L, 6L, 70_000L);
        assertThat(offsets.get(1)).isNegative();
        assertThat(frame.payload().getByte(offsets.get(0))).isEqualTo((byte) 11);
        assertThat(frame.payload().getByte(offsets.get(2) + Frame.PAGE_BYTES - 1))
                .isEqualTo((byte) 22);
        assertThatThrownBy(() -> PagesPayload.parse(frame.payload(), 70_000)).hasMessageContaining("page 70000");
        frame.release();
        channel.finishAndReleaseAll();
    }

    @Test
    void aPageFrameWhoseCountDoesNotFitItsLengthIsRefused() {
        ByteBuf payload = Unpooled.buffer().writeInt(2).writeInt(0).writeZero(8 + Frame.PAGE_BYTES);
        assertThatThrownBy(() -> PagesPayload.parse(payload, 10)).hasMessageContaining("claims 2 pages");
        ByteBuf noneIsZero = Unpooled.buffer().writeInt(2).writeInt(1).writeZero(16 + Frame.PAGE_BYTES);
        assertThatThrownBy(() -> PagesPayload.parse(noneIsZero, 10)).hasMessageContaining("1 pages for 2 indexes");
        ByteBuf more = Unpooled.buffer().writeInt(1).writeInt(2).writeZero(8 + 2 * Frame.PAGE_BYTES);
        assertThatThrownBy(() -> PagesPayload.parse(more, 10)).hasMessageContaining("1 pages, 2 not zero");
        ByteBuf far = Unpooled.buffer().writeInt(1).writeInt(0).writeLongLE(10 | PagesPayload.ZERO_PAGE);
        assertThatThrownBy(() -> PagesPayload.parse(far, 10)).hasMessageContaining("page 10 of a guest");
        assertThatThrownBy(() -> PagesPayload.parse(Unpooled.buffer().writeInt(1), 10))
                .isInstanceOf(CorruptedFrameException.class);
    }

    private static EmbeddedChannel decoder() {
        return new EmbeddedChannel(new FrameDecoder((type, length) -> Unpooled.directBuffer(length)));
    }

    private static byte[] encode(Frame... frames) {
        EmbeddedChannel channel = new EmbeddedChannel(new FrameEncoder());
        for (Frame frame : frames) {
            channel.writeOutbound(frame);
        }
        ByteBuf all = Unpooled.buffer();
        for (ByteBuf part = channel.readOutbound(); part != null; part = channel.readOutbound()) {
            all.writeBytes(part);
            part.release();
        }
        channel.finishAndReleaseAll();
        return ByteBufUtil.getBytes(all);
    }

    private static ByteBuf bytes(int... values) {
        ByteBuf buffer = Unpooled.buffer();
        for (int value : values) {
            buffer.writeByte(value);
        }
        return buffer;
    }

    private static String hex(byte[] bytes) {
        return ByteBufUtil.hexDump(bytes);
    }
}
