package io.vmft.blk.crash;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.crash.TraceRecord.Kind;
import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class DiskTest {
    private static final int TRIES = 400;

    private final List<TraceRecord> done = new ArrayList<>();
    private long syncs;

    private void name(Kind kind, long inode, String name) {
        done.add(new TraceRecord(
                kind, done.size(), inode, 0, 0, MemorySegment.ofArray(name.getBytes(StandardCharsets.UTF_8))));
    }

    private void write(long inode, long offset, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        done.add(new TraceRecord(Kind.WRITE, done.size(), inode, offset, bytes.length, MemorySegment.ofArray(bytes)));
    }

    private void size(Kind kind, long inode, long offset, long length) {
        done.add(new TraceRecord(kind, done.size(), inode, offset, length, MemorySegment.ofArray(new byte[0])));
    }

    private long beginSync(long inode, String folder) {
        syncs++;
        done.add(new TraceRecord(
                Kind.SYNC_BEGIN,
                done.size(),
                inode,
                0,
                syncs,
                MemorySegment.ofArray(folder.getBytes(StandardCharsets.UTF_8))));
        return syncs;
    }

    private void endSync(long number) {
        size(Kind.SYNC_END, 0, 0, number);
    }

    private void sync(long inode, String folder) {
        endSync(beginSync(inode, folder));
    }

    /** Every state that shows up after a power cut now, each file as {@code name=first letters of its sectors}. */
    private Set<String> states() {
        Disk disk = new Disk();
        done.forEach(disk::apply);
        Set<String> states = new TreeSet<>();
        for (int seed = 0; seed < TRIES; seed++) {
            StringBuilder state = new StringBuilder();
            disk.crashed(new Random(seed)).files().forEach((name, content) -> {
                state.append(name).append('=');
                for (int at = 0; at < content.length; at += CrashedFile.SECTOR_BYTES) {
                    state.append(content[at] == 0 ? '.' : (char) content[at]);
                }
                state.append(' ');
            });
            states.add(state.toString().strip());
        }
        return states;
    }

    private static byte[] fileAfter(Disk disk, int seed) {
        return Objects.requireNonNull(disk.crashed(new Random(seed)).files().get("f"));
    }

    private static String sectors(String letters) {
        StringBuilder text = new StringBuilder();
        letters.chars().forEach(letter -> text.append(Character.toString(letter).repeat(CrashedFile.SECTOR_BYTES)));
        return text.toString();
    }

    private void durableFile(String content) {
        name(Kind.CREATE, 1, "f");
        write(1, 0, sectors(content));
        sync(1, "");
        sync(0, "");
    }

    @Test
    void whatWasSyncedIsThere() {
        durableFile("ab");
        assertThat(states()).containsExactly("f=ab");
    }

    @Test
    void aNameIsDurableWhenItsFolderWasSyncedAndNotByTheSyncOfTheFile() {
        name(Kind.CREATE, 1, "f");
        write(1, 0, sectors("a"));
        sync(1, "");
        assertThat(states()).containsExactly("", "f=a");
    }

    @Test
    void aFolderThatWasNeverSyncedIntoItsOwnTakesEverythingWithIt() {
        name(Kind.MKDIR, 0, "d");
        name(Kind.CREATE, 1, "d/f");
        write(1, 0, sectors("a"));
        sync(1, "");
        sync(0, "d");
        assertThat(states()).containsExactly("", "d/f=a");
        sync(0, "");
        assertThat(states()).containsExactly("d/f=a");
    }

    @Test
    void sectorsOfWhatIsNotSyncedAreThereOrNotInAnyOrder() {
        durableFile("aaa");
        write(1, 0, sectors("bb"));
        write(1, CrashedFile.SECTOR_BYTES, sectors("cc"));
        assertThat(states())
                .containsExactlyInAnyOrder(
                        "f=aaa", "f=baa", "f=aba", "f=bba", "f=aca", "f=bca", "f=aac", "f=bac", "f=abc", "f=bbc",
                        "f=acc", "f=bcc");
    }

    @Test
    void aSectorIsOneStateOfItNeverAMixture() {
        durableFile("a");
        write(1, 0, "x");
        write(1, 100, "y");
        Disk disk = new Disk();
        done.forEach(disk::apply);
        for (int seed = 0; seed < TRIES; seed++) {
            byte[] content = fileAfter(disk, seed);
            // The later byte is not there without the earlier one.
            assertThat(content[100] != 'y' || content[0] == 'x').isTrue();
        }
    }

    @Test
    void aFileDoesNotGetLongerThanWhatWasWritten() {
        durableFile("a");
        write(1, CrashedFile.SECTOR_BYTES, sectors("bc"));
        assertThat(states()).containsExactlyInAnyOrder("f=a", "f=abc");
        write(1, 0, sectors("d"));
        assertThat(states()).containsExactlyInAnyOrder("f=a", "f=abc", "f=d", "f=dbc");
    }

    @Test
    void spaceThatIsReservedMayBeThereWithoutAnythingInIt() {
        name(Kind.CREATE, 1, "f");
        sync(0, "");
        size(Kind.RESERVE, 1, 0, 2 * CrashedFile.SECTOR_BYTES);
        write(1, 0, sectors("a"));
        assertThat(states()).containsExactlyInAnyOrder("f=", "f=..", "f=a.");
    }

    @Test
    void aHoleIsAChangeLikeOthers() {
        durableFile("ab");
        size(Kind.ZERO, 1, 0, 4 * CrashedFile.SECTOR_BYTES);
        assertThat(states()).containsExactlyInAnyOrder("f=ab", "f=.b", "f=a.", "f=..");
    }

    @Test
    void aSyncCoversWhatWasThereWhenItBeganAndHoldsWhenItHasEnded() {
        durableFile("a");
        write(1, 0, sectors("b"));
        long number = beginSync(1, "");
        write(1, 0, sectors("c"));
        assertThat(states()).containsExactlyInAnyOrder("f=a", "f=b", "f=c");
        endSync(number);
        assertThat(states()).containsExactlyInAnyOrder("f=b", "f=c");
    }

    @Test
    void aRenameIsWholeOrNotThereAndTheOldFileComesBack() {
        durableFile("a");
        name(Kind.CREATE, 2, "g");
        write(2, 0, sectors("b"));
        sync(2, "");
        name(Kind.RENAME, 0, "g\0f");
        assertThat(states()).containsExactlyInAnyOrder("f=a", "f=a g=b", "f=b");
        sync(0, "");
        name(Kind.UNLINK, 0, "f");
        assertThat(states()).containsExactlyInAnyOrder("", "f=b");
    }

    @Test
    void aSyncThatIsIgnoredCoversNothing() {
        durableFile("a");
        write(1, 0, sectors("b"));
        sync(1, "");
        Disk disk = new Disk("f"::equals);
        done.forEach(disk::apply);
        Set<Integer> sizes = new TreeSet<>();
        for (int seed = 0; seed < TRIES; seed++) {
            sizes.add(fileAfter(disk, seed).length);
        }
        assertThat(sizes).containsExactly(0, CrashedFile.SECTOR_BYTES);
    }
}
