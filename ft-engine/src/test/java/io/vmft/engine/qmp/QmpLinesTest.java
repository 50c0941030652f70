package io.vmft.engine.qmp;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.SequenceInputStream;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

final class QmpLinesTest {
    @Test
    void cutsLinesAtEverySplit() throws IOException {
        byte[] text = "{\"a\": 1}\r\n\n{\"b\": 2}\r\n".getBytes(StandardCharsets.UTF_8);
        for (int split = 0; split <= text.length; split++) {
            InputStream first = new ByteArrayInputStream(text, 0, split);
            InputStream second = new ByteArrayInputStream(text, split, text.length - split);
            assertThat(lines(Channels.newChannel(new SequenceInputStream(first, second))))
                    .as("split at %d", split)
                    .containsExactly("{\"a\": 1}\r", "", "{\"b\": 2}\r");
        }
    }

    @Test
    void growsForLongLinesAndGoesOnAfterThem() throws IOException {
        String longLine = "x".repeat(1_000_000);
        assertThat(lines(channel("a\n" + longLine + "\nb\n"))).containsExactly("a", longLine, "b");
    }

    @Test
    void takesALineOfTheGreatestLengthButNoLongerOne() throws IOException {
        String longest = "x".repeat(QmpLines.MAX_LINE_BYTES - 1);
        assertThat(lines(channel(longest + "\n"))).containsExactly(longest);
        assertThatThrownBy(() -> lines(channel(longest + "xx\n")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("longer than");
    }

    @Test
    void refusesAnEndInsideALine() {
        assertThatThrownBy(() -> lines(channel("a\nb")))
                .isInstanceOf(IOException.class)
                .hasMessageContaining("inside a message");
    }

    private static ReadableByteChannel channel(String text) {
        return Channels.newChannel(new ByteArrayInputStream(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static List<String> lines(ReadableByteChannel source) throws IOException {
        QmpLines lines = new QmpLines();
        List<String> result = new ArrayList<>();
        for (byte[] line = lines.next(source); line != null; line = lines.next(source)) {
            result.add(new String(line, StandardCharsets.UTF_8));
        }
        return result;
    }
}
