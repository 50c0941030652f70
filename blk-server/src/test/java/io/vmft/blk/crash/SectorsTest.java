package io.vmft.blk.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.crash.Event.Change;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class SectorsTest {
    private static final int SECTOR = CrashedFile.SECTOR_BYTES;

    private static Change write(int id, int offset, int length) {
        return new Change("disk", 0, 1, Change.Kind.WRITE, id, offset, length, false);
    }

    private static byte[] after(Change... changes) {
        byte[] content = new byte[2 * SECTOR];
        for (Change change : changes) {
            System.arraycopy(change.bytes(), 0, content, change.offset(), change.length());
        }
        return content;
    }

    private static Optional<String> complaint(byte[] found, Change first, boolean firstIsDurable, Change second) {
        Sectors sectors = new Sectors(found);
        sectors.take(first, first.bytes(), firstIsDurable);
        sectors.take(second, second.bytes(), false);
        return sectors.complaint();
    }

    @Test
    void anyStateSinceTheDurableOneIsLegalForEachSectorByItself() {
        Change first = write(1, 0, 2 * SECTOR);
        Change second = write(2, 0, 2 * SECTOR);
        byte[] mixed = after(first, write(2, SECTOR, SECTOR));
        assertThat(complaint(after(), first, false, second)).isEmpty();
        assertThat(complaint(after(), first, true, second)).isPresent();
        assertThat(complaint(mixed, first, true, second)).isEmpty();
    }

    @Test
    void aSectorWrittenAsAWholeIsNotTorn() {
        byte[] torn = after(write(1, 0, 2 * SECTOR), write(2, 0, 100));
        assertThat(complaint(torn, write(1, 0, 2 * SECTOR), true, write(2, 0, 2 * SECTOR)))
                .isPresent();
    }

    @Test
    void aWriteOfAPartDoesNotBringTheRestWithIt() {
        Change first = write(1, 0, SECTOR);
        Change part = write(2, 0, 100);
        assertThat(complaint(after(part), first, false, part)).isEmpty();
        assertThat(complaint(after(part), first, true, part)).isPresent();
        assertThat(complaint(after(first), first, true, part)).isEmpty();
    }

    @Test
    void whatNobodyWroteIsIllegal() {
        Change first = write(1, 0, SECTOR);
        assertThat(complaint(after(write(3, 0, 8)), first, false, write(2, 0, SECTOR)))
                .hasValueSatisfying(text -> assertThat(text).contains("change 3", "zeroes, WRITE 1, WRITE 2"));
    }
}
