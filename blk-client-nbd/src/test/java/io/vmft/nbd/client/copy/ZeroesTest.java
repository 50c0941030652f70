package io.vmft.nbd.client.copy;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.nbd.client.copy.Zeroes.Run;
import java.nio.ByteBuffer;
import java.util.List;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import net.jqwik.api.constraints.IntRange;
import net.jqwik.api.constraints.LongRange;
import net.jqwik.api.constraints.Size;
import org.junit.jupiter.api.Test;

class ZeroesTest {
    @Test
    void everyByteCounts() {
        for (int length : new int[] {1, 2, 7, 4096, 4099}) {
            ByteBuffer bytes = ByteBuffer.allocate(length + 3);
            assertThat(Zeroes.isZero(bytes, 3, length)).isTrue();
            for (int i = 0; i < length; i++) {
                bytes.put(3 + i, (byte) 1);
                assertThat(Zeroes.isZero(bytes, 3, length))
                        .as("byte %d of %d", i, length)
                        .isFalse();
                bytes.put(3 + i, (byte) 0);
            }
        }
    }

    /** The runs cover the data, alternate, and say what is there; zeroes begin and end at blocks of the disk. */
    @Property(tries = 500)
    void runsTellTheTruth(
            @ForAll @LongRange(max = 10_000) long offset,
            @ForAll @Size(min = 1, max = 12) List<@IntRange(max = 3) Integer> pieces) {
        ByteBuf data = Unpooled.buffer();
        pieces.forEach(
                piece -> data.writeZero(700).writeByte(piece == 0 ? 1 : 0).writeZero(3000 * piece));
        List<Run> runs = Zeroes.runs(data, offset, 1024);
        int index = 0;
        for (int i = 0; i < runs.size(); i++) {
            Run run = runs.get(i);
            assertThat(run.index()).isEqualTo(index);
            assertThat(run.lengthBytes()).isPositive();
            if (i > 0) {
                assertThat(run.zero()).isNotEqualTo(runs.get(i - 1).zero());
                assertThat((offset + index) % 1024).isZero();
            }
            boolean zero = true;
            for (int j = 0; j < run.lengthBytes(); j++) {
                zero &= data.getByte(index + j) == 0;
            }
            assertThat(run.zero()).isEqualTo(zero);
            index += run.lengthBytes();
        }
        assertThat(index).isEqualTo(data.readableBytes());
    }
}
