package io.vmft.engine.replication;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.handler.codec.CorruptedFrameException;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.PackedPages;
import io.vmft.proto.checkpoint.PagesPayload;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

final class PagePackerTest {
    private static final int GUEST_PAGES = 64;

    private final byte[][] guest = new byte[GUEST_PAGES][Frame.PAGE_BYTES];
    private final byte[][] backup = new byte[GUEST_PAGES][Frame.PAGE_BYTES];
    private final PagePacker packer = new PagePacker(32L * Frame.PAGE_BYTES);
    private final PageUnpacker unpacker = new PageUnpacker();
    private long epoch;

    @Test
    void whatIsUnpackedIsWhatWasPacked() {
        long seed = Long.getLong("vmft.seed", System.nanoTime());
        System.out.println("seed " + seed);
        Random random = new Random(seed);
        for (int round = 0; round < 300; round++) {
            List<Integer> dirty = new ArrayList<>();
            for (int page = 0; page < GUEST_PAGES; page++) {
                if (random.nextInt(4) == 0) {
                    change(guest[page], random);
                    dirty.add(page);
                }
            }
            if (random.nextInt(10) == 0) {
                packer.forget();
            }
            unpack(pack(dirty));
            assertThat(backup).as("round %d", round).isDeepEqualTo(guest);
        }
    }

    private static void change(byte[] page, Random random) {
        switch (random.nextInt(5)) {
            case 0 -> java.util.Arrays.fill(page, (byte) 0);
            case 1 -> random.nextBytes(page);
            case 2 -> java.util.Arrays.fill(page, (byte) random.nextInt());
            default -> page[random.nextInt(Frame.PAGE_BYTES)] = (byte) random.nextInt();
        }
    }

    @Test
    void ofAPageSentBeforeOnlyTheChangeGoes() {
        new Random(1).nextBytes(guest[3]);
        assertThat(pack(List.of(3)).readableBytes()).isEqualTo(18 + Frame.PAGE_BYTES);
        guest[3][100] ^= 1;
        ByteBuf packed = pack(List.of(3));
        assertThat(packed.readableBytes()).isLessThan(100);
        assertThat(ways(packed)).containsEntry(3L, PackedPages.DELTA | PackedPages.LZ4);
        packer.forget();
        assertThat(pack(List.of(3)).readableBytes()).isEqualTo(18 + Frame.PAGE_BYTES);
    }

    @Test
    void aPageThatComesAgainInACheckpointIsNotRelatedToWhatCameBefore() {
        new Random(3).nextBytes(guest[3]);
        unpack(pack(List.of(3)));
        guest[3][100] ^= 1;
        assertThat(ways(pack(List.of(3)))).containsEntry(3L, PackedPages.DELTA | PackedPages.LZ4);
        guest[3][101] ^= 1;
        ByteBuf again = packMore(List.of(3));
        assertThat(ways(again)).containsEntry(3L, 0L);
        unpack(again);
        guest[3][102] ^= 1;
        ByteBuf next = pack(List.of(3));
        assertThat(ways(next)).containsEntry(3L, PackedPages.DELTA | PackedPages.LZ4);
        unpack(next);
        assertThat(backup[3]).isEqualTo(guest[3]);
    }

    @Test
    void aPageThatWasZeroMeanwhileIsNotRelatedToWhatItWasBefore() {
        new Random(2).nextBytes(guest[5]);
        byte[] content = guest[5].clone();
        unpack(pack(List.of(5)));
        java.util.Arrays.fill(guest[5], (byte) 0);
        unpack(pack(List.of(5)));
        guest[5] = content;
        unpack(pack(List.of(5)));
        assertThat(backup[5]).isEqualTo(content);
    }

    @Test
    void whatIsNoBlockOfOnePageIsRefused() {
        ByteBuf rubbish = packed(1L | PackedPages.LZ4, new byte[] {(byte) 0xf0, 1, 2, 3});
        assertThatThrownBy(() -> unpack(rubbish)).isInstanceOf(CorruptedFrameException.class);
        byte[] tooShort =
                net.jpountz.lz4.LZ4Factory.safeInstance().fastCompressor().compress(new byte[4095]);
        assertThatThrownBy(() -> unpack(packed(1L | PackedPages.LZ4, tooShort)))
                .hasMessageContaining("an LZ4 block of 4095 bytes");
        byte[] tooLong =
                net.jpountz.lz4.LZ4Factory.safeInstance().fastCompressor().compress(new byte[4097]);
        assertThatThrownBy(() -> unpack(packed(1L | PackedPages.LZ4, tooLong)))
                .isInstanceOf(CorruptedFrameException.class);
    }

    @Test
    void malformedFramesAreRefused() {
        byte[] page = new byte[Frame.PAGE_BYTES];
        assertThatThrownBy(() -> unpack(packed(GUEST_PAGES, page))).hasMessageContaining("page 64 of a guest");
        assertThatThrownBy(() -> unpack(packed(1, new byte[4095]))).hasMessageContaining("packed in way 0");
        assertThatThrownBy(() -> unpack(packed(1 | PackedPages.DELTA, page))).hasMessageContaining("packed in way 2");
        assertThatThrownBy(() -> unpack(packed(1 | PackedPages.ZERO, page))).hasMessageContaining("packed in way 4");
        assertThatThrownBy(() -> unpack(packed(1 | PackedPages.LZ4, new byte[0])))
                .hasMessageContaining("packed in way 1");
        assertThatThrownBy(() -> unpack(packed(1, page).writeByte(0))).hasMessageContaining("its contents are 4096");
        assertThatThrownBy(() -> unpack(Unpooled.buffer().writeInt(3).writeInt(0)))
                .hasMessageContaining("claims 3 pages");
        assertThatThrownBy(() -> unpack(Unpooled.buffer().writeInt(-1).writeInt(0)))
                .hasMessageContaining("claims -1 pages");
    }

    private static ByteBuf packed(long index, byte[] content) {
        return Unpooled.buffer()
                .writeInt(1)
                .writeInt(0)
                .writeLongLE(index)
                .writeShort(content.length)
                .writeBytes(content);
    }

    /** As a checkpoint of its own. */
    private ByteBuf pack(List<Integer> dirty) {
        epoch++;
        return packMore(dirty);
    }

    /** Into the same checkpoint as what was packed before. */
    private ByteBuf packMore(List<Integer> dirty) {
        ByteBuffer indexes = ByteBuffer.allocateDirect(8 * dirty.size()).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer pages = ByteBuffer.allocateDirect(Frame.PAGE_BYTES * dirty.size());
        int stored = 0;
        for (int i = 0; i < dirty.size(); i++) {
            byte[] page = guest[dirty.get(i)];
            boolean zero = java.util.Arrays.equals(page, new byte[Frame.PAGE_BYTES]);
            indexes.putLong(8 * i, zero ? dirty.get(i) | PagesPayload.ZERO_PAGE : dirty.get(i));
            if (!zero) {
                pages.put(Frame.PAGE_BYTES * stored++, page);
            }
        }
        ByteBuf packed = Unpooled.buffer(PagePacker.maxBytes(dirty.size(), stored));
        packer.pack(epoch, dirty.size(), indexes, pages, packed);
        return packed;
    }

    private static Map<Long, Long> ways(ByteBuf packed) {
        Map<Long, Long> ways = new TreeMap<>();
        PackedPages.parse(packed, GUEST_PAGES).forEach((index, flags, offset, length) -> ways.put(index, flags));
        return ways;
    }

    private void unpack(ByteBuf packed) {
        PackedPages pages = PackedPages.parse(packed, GUEST_PAGES);
        ByteBuf whole = Unpooled.buffer(PageUnpacker.unpackedBytes(pages));
        unpacker.unpack(
                pages, (page, target) -> System.arraycopy(backup[(int) page], 0, target, 0, target.length), whole);
        assertThat(whole.readableBytes()).isEqualTo(whole.capacity());
        PagesPayload.parse(whole, GUEST_PAGES).forEach((index, offset) -> {
            if (offset < 0) {
                java.util.Arrays.fill(backup[(int) index], (byte) 0);
            } else {
                whole.getBytes(offset, backup[(int) index]);
            }
        });
    }
}
