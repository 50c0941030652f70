package io.vmft.engine.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import org.junit.jupiter.api.Test;

final class HeldFramesTest {
    private static final class Frame {
        private final long epoch;
        private final byte[] bytes;

        Frame(long epoch, byte[] bytes) {
            this.epoch = epoch;
            this.bytes = bytes;
        }
    }

    /**
     * Against a list: no frame leaves before its epoch is released, none is lost, changed or overtaken, and there is room
     * whenever the bytes held are few.
     */
    @Property(tries = 500)
    void behavesAsAListWithALimit(@ForAll long seed, @ForAll @IntRange(min = 2_000, max = 20_000) int slabBytes) {
        Random random = new Random(seed);
        HeldFrames held = new HeldFrames(memory(slabBytes));
        Deque<Frame> model = new ArrayDeque<>();
        long epoch = 1;
        for (int step = 0; step < 400; step++) {
            switch (random.nextInt(8)) {
                case 0 -> epoch++;
                case 1 -> release(held, model, epoch - 1 - random.nextInt(3));
                default -> offer(held, model, new Frame(epoch, bytes(random, 1 + random.nextInt(700))), slabBytes);
            }
            assertThat(held.frameCount()).isEqualTo(model.size());
            assertThat(held.payloadBytes())
                    .isEqualTo(model.stream().mapToLong(f -> f.bytes.length).sum());
        }
        release(held, model, Long.MAX_VALUE);
        assertThat(model).isEmpty();
    }

    @Test
    void takesAFrameAsLargeAsTheSlabWhenEmpty() {
        HeldFrames held = new HeldFrames(memory(1000));
        assertThat(held.offer(1, memory(1000), 0, 1000)).isTrue();
        assertThat(held.offer(1, memory(1), 0, 1)).isFalse();
        assertThat(held.release(
                        1, (memory, offset, length) -> assertThat(length).isEqualTo(1000)))
                .isEqualTo(1);
        assertThat(held.offer(1, memory(1000), 0, 1000)).isTrue();
    }

    @Test
    void boundsTheNumberOfTinyFramesToo() {
        HeldFrames held = new HeldFrames(memory(10 * HeldFrames.BYTES_PER_FRAME));
        for (int i = 0; i < 10; i++) {
            assertThat(held.offer(1, memory(1), 0, 1)).isTrue();
        }
        assertThat(held.offer(1, memory(1), 0, 1)).isFalse();
    }

    @Test
    void refusesAnEpochThatGoesBack() {
        HeldFrames held = new HeldFrames(memory(1000));
        held.offer(7, memory(1), 0, 1);
        assertThatThrownBy(() -> held.offer(6, memory(1), 0, 1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void refusesFramesThatNeverFit() {
        HeldFrames held = new HeldFrames(memory(1000));
        assertThatThrownBy(() -> held.offer(1, memory(1001), 0, 1001)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> held.offer(1, memory(1), 0, 0)).isInstanceOf(IllegalArgumentException.class);
    }

    private static void offer(HeldFrames held, Deque<Frame> model, Frame frame, int slabBytes) {
        long heldBytes = model.stream().mapToLong(f -> f.bytes.length).sum();
        byte[] source = frame.bytes.clone();
        if (held.offer(frame.epoch, MemorySegment.ofArray(source), 0, source.length)) {
            Arrays.fill(source, (byte) 0);
            model.addLast(frame);
        } else {
            // A ring of whole frames can waste less than one frame at its end and one before its head.
            boolean manyFrames = model.size() >= slabBytes / HeldFrames.BYTES_PER_FRAME;
            assertThat(manyFrames || heldBytes + 2 * 700 > slabBytes)
                    .as("%d bytes in %d frames of %d", heldBytes, model.size(), slabBytes)
                    .isTrue();
        }
    }

    private static void release(HeldFrames held, Deque<Frame> model, long epoch) {
        List<byte[]> left = new ArrayList<>();
        int count = held.release(
                epoch,
                (memory, offset, length) ->
                        left.add(memory.asSlice(offset, length).toArray(ValueLayout.JAVA_BYTE)));
        assertThat(count).isEqualTo(left.size());
        for (byte[] bytes : left) {
            Frame expected = model.removeFirst();
            assertThat(expected.epoch).isLessThanOrEqualTo(epoch);
            assertThat(bytes).isEqualTo(expected.bytes);
        }
        assertThat(model.isEmpty() || model.getFirst().epoch > epoch).isTrue();
    }

    private static MemorySegment memory(int bytes) {
        return Arena.ofAuto().allocate(bytes);
    }

    private static byte[] bytes(Random random, int length) {
        byte[] bytes = new byte[length];
        random.nextBytes(bytes);
        return bytes;
    }
}
