package io.vmft.kvm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.BitSet;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DirtyBitmapTest {
    @ParameterizedTest
    @ValueSource(ints = {1, 63, 64, 65, 127, 128, 1000})
    void agreesWithABitSet(int pages) {
        Random random = new Random(pages);
        for (int round = 0; round < 200; round++) {
            BitSet set = new BitSet();
            // Runs as well as single pages.
            for (int i = random.nextInt(6); i > 0; i--) {
                int first = random.nextInt(pages);
                set.set(first, Math.min(pages, first + 1 + random.nextInt(random.nextBoolean() ? 1 : 100)));
            }
            DirtyBitmap bitmap = new DirtyBitmap(Arrays.copyOf(set.toLongArray(), DirtyBitmap.wordsFor(pages)), pages);
            assertThat(bitmap.pages()).isEqualTo(pages);
            assertThat(bitmap.dirtyPages()).isEqualTo(set.cardinality());
            for (int page = 0; page < pages; page++) {
                assertThat(bitmap.isDirty(page)).isEqualTo(set.get(page));
                int next = set.nextSetBit(page);
                assertThat(bitmap.nextDirty(page)).isEqualTo(next < 0 ? pages : next);
                assertThat(bitmap.nextClean(page)).isEqualTo(Math.min(pages, set.nextClearBit(page)));
            }
            assertThat(bitmap.nextDirty(pages)).isEqualTo(pages);
            assertThat(bitmap.nextClean(pages + 1L)).isEqualTo(pages);
        }
    }

    @Test
    void refusesWhatLiesOutside() {
        DirtyBitmap bitmap = new DirtyBitmap(new long[] {1}, 5);
        assertThatThrownBy(() -> bitmap.isDirty(5)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> bitmap.isDirty(-1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> bitmap.nextDirty(-1)).isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> new DirtyBitmap(new long[] {1 << 5}, 5)).isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new DirtyBitmap(new long[2], 64)).isInstanceOf(IllegalArgumentException.class);
    }
}
