package io.vmft.engine.net;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

final class StreamFramesTest {
    @Test
    void cutsFramesAtEverySplit() throws IOException {
        byte[] bytes = HexFormat.of().parseHex("00000003aabbcc" + "00000001dd" + "00000002eeff");
        for (int split = 0; split <= bytes.length; split++) {
            InputStream first = new ByteArrayInputStream(bytes, 0, split);
            InputStream second = new ByteArrayInputStream(bytes, split, bytes.length - split);
            assertThat(frames(new SequenceInputStream(first, second)))
                    .as("split at %d", split)
                    .containsExactly("aabbcc", "dd", "eeff");
        }
    }

    @Property(tries = 50)
    void keepsFramesOfAllSizesWhole(@ForAll long seed) throws IOException {
        Random random = new Random(seed);
        List<String> expected = new ArrayList<>();
        ByteBuffer stream = ByteBuffer.allocate(2 << 20);
        while (stream.remaining() > 4 + StreamFrames.MAX_FRAME_BYTES) {
            int length = random.nextInt(4) == 0 ? StreamFrames.MAX_FRAME_BYTES : 1 + random.nextInt(3000);
            byte[] frame = new byte[length];
            random.nextBytes(frame);
            stream.putInt(length).put(frame);
            expected.add(HexFormat.of().formatHex(frame));
        }
        InputStream chunks = new ByteArrayInputStream(stream.array(), 0, stream.position()) {
            @Override
            public int read(byte[] target, int offset, int length) {
                return super.read(target, offset, Math.min(length, 1 + random.nextInt(9000)));
            }
        };
        assertThat(frames(chunks)).isEqualTo(expected);
    }

    @ParameterizedTest
    @ValueSource(strings = {"00000000", "ffffffff", "80000000", "00011001"})
    void refusesLengthsOutOfRange(String header) {
        assertThatThrownBy(() -> frames(new ByteArrayInputStream(HexFormat.of().parseHex(header + "aabb"))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("QEMU sent a frame of");
    }

    @ParameterizedTest
    @ValueSource(strings = {"00", "000000", "00000002aa", "00000002"})
    void refusesAnEndInsideAFrame(String bytes) {
        assertThatThrownBy(() -> frames(new ByteArrayInputStream(HexFormat.of().parseHex(bytes))))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("inside a frame");
    }

    private static List<String> frames(InputStream source) throws IOException {
        StreamFrames frames = new StreamFrames(Arena.ofAuto().allocate(100_000));
        var channel = Channels.newChannel(source);
        List<String> result = new ArrayList<>();
        while (frames.next(channel)) {
            byte[] bytes = frames.memory()
                    .asSlice(frames.frameOffset(), frames.frameLengthBytes())
                    .toArray(ValueLayout.JAVA_BYTE);
            result.add(HexFormat.of().formatHex(bytes));
        }
        return result;
    }
}
