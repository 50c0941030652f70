package io.vmft.nbd.client;

import static org.assertj.core.api.Assertions.assertThat;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CopyTest {
    @TempDir
    Path folder;

    @Test
    void seesZeroes() {
        for (int length : new int[] {0, 1, 2, 4096, 4099}) {
            ByteBuf data = Unpooled.buffer(length + 3).writeZero(length + 3).skipBytes(3);
            assertThat(Copy.isZero(data)).isTrue();
            for (int i = 0; i < length; i += Math.max(1, length / 7)) {
                data.setByte(3 + i, 1);
                assertThat(Copy.isZero(data)).as("byte %d of %d", i, length).isFalse();
                data.setByte(3 + i, 0);
            }
        }
    }

    @Test
    void copiesAFileWithHolesAndAnOddEnd() throws IOException {
        byte[] bytes = new byte[(40 << 20) + 17];
        byte[] block = new byte[1 << 20];
        new Random(7).nextBytes(block);
        System.arraycopy(block, 0, bytes, 3 << 20, block.length);
        System.arraycopy(block, 0, bytes, (20 << 20) + 5, block.length);
        Path from = Files.write(folder.resolve("from"), bytes);
        Path to = Files.writeString(folder.resolve("to"), "something that was there");
        List<Long> progress = new ArrayList<>();
        try (Endpoint source = Endpoint.source(from.toString());
                Endpoint destination = Endpoint.destination(to.toString(), source.sizeBytes())) {
            new Copy(source, destination).run(progress::add);
        }
        assertThat(to).hasSameBinaryContentAs(from);
        assertThat(progress).isSorted().endsWith((long) bytes.length);
    }
}
