package io.vmft.blk.changes;

import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.file.StoreFiles;
import io.vmft.blk.journal.MetaStore;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is remembered, and when nothing of it may be believed. */
class ChangeMapTest {
    private static final long BLOCK = ChangeMap.BLOCK_BYTES;
    private static final long SIZE = 100 * BLOCK + 1;

    @TempDir
    private Path directory;

    private Path image;
    private MetaStore meta;

    @BeforeEach
    void begin() throws IOException {
        image = Files.createFile(directory.resolve("image"));
        meta = MetaStore.open(directory.resolve("index"));
    }

    @AfterEach
    void end() {
        meta.close();
    }

    private ChangeMap open(String bootId, long sizeBytes) throws IOException {
        return ChangeMap.open(
                directory.resolve("changes"), StoreFiles.SYSTEM, meta, "disk", 3, image, sizeBytes, bootId);
    }

    private static long point(ChangeMap map, long nowMillis) throws IOException {
        long point = map.reserve(nowMillis);
        map.begin(point);
        return point;
    }

    private static long[] marks(ChangeMap map, long first, int count) throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment marks = arena.allocate(JAVA_LONG, count);
            map.read(first, marks);
            return marks.toArray(JAVA_LONG);
        }
    }

    @Test
    void aMarkIsTheNewestPointBeforeTheChange() throws IOException {
        try (ChangeMap map = open("boot", SIZE)) {
            map.mark(0, 10);
            assertThat(point(map, 1000)).isEqualTo(1000);
            map.mark(BLOCK - 1, 2);
            assertThat(point(map, 999)).as("numbers only rise").isEqualTo(1001);
            map.mark(BLOCK, 1);
            map.markAfter(1000, 3 * BLOCK, 1);
            map.mark(SIZE - 1, 1);
            assertThat(marks(map, 0, 4)).containsExactly(1000, 1001, 0, 1000);
            assertThat(marks(map, 100, 1)).containsExactly(1001);
            assertThat(map.points()).containsExactly(1000L, 1001L);
            assertThat(map.knows(1000)).isTrue();
            assertThat(map.knows(999)).isFalse();
        }
    }

    @Test
    void aKilledServerLosesNothing() throws IOException {
        ChangeMap killed = open("boot", SIZE);
        point(killed, 1000);
        killed.mark(5 * BLOCK, 1);
        try (ChangeMap map = open("boot", SIZE)) {
            assertThat(map.points()).containsExactly(1000L);
            assertThat(marks(map, 4, 3)).containsExactly(0, 1000, 0);
            map.mark(6 * BLOCK, 1);
            assertThat(marks(map, 6, 1)).containsExactly(1000);
        }
        killed.close();
    }

    @Test
    void afterAPowerLossNoPointIsKnownAndNoneIsGivenTwice() throws IOException {
        ChangeMap lost = open("boot", SIZE);
        point(lost, 1000);
        lost.mark(0, 1);
        try (ChangeMap map = open("another boot", SIZE)) {
            assertThat(map.points()).isEmpty();
            assertThat(map.newest()).isEqualTo(1000);
            assertThat(point(map, 500)).isEqualTo(1001);
            assertThat(marks(map, 0, 1)).containsExactly(0);
            try (Stream<Path> files = Files.list(directory.resolve("changes"))) {
                assertThat(files).hasSize(1);
            }
        }
        lost.close();
    }

    @Test
    void aCleanEndIsGoodForAnyBoot() throws IOException {
        ChangeMap ended = open("boot", SIZE);
        point(ended, 1000);
        ended.mark(0, 1);
        ended.close(true);
        try (ChangeMap map = open("another boot", SIZE)) {
            assertThat(map.points()).containsExactly(1000L);
            assertThat(marks(map, 0, 2)).containsExactly(1000, 0);
        }
        try (ChangeMap map = open("a third boot", SIZE)) {
            assertThat(map.points()).as("the second did not end cleanly").isEmpty();
        }
    }

    @Test
    void anotherImageIsNoticed() throws IOException {
        ChangeMap ended = open("boot", SIZE);
        point(ended, 1000);
        ended.close(true);
        Files.setLastModifiedTime(image, FileTime.from(Instant.ofEpochSecond(1_000_000)));
        ChangeMap written = open("boot", SIZE);
        assertThat(written.points()).as("written to while no server ran").isEmpty();
        point(written, 2000);
        written.close(true);
        try (ChangeMap map = open("boot", SIZE + BLOCK)) {
            assertThat(map.points()).as("another size").isEmpty();
            point(map, 3000);
        }
        Files.move(image, directory.resolve("old"));
        Files.createFile(image);
        try (ChangeMap map = open("boot", SIZE + BLOCK)) {
            assertThat(map.points()).as("another file").isEmpty();
        }
    }

    @Test
    void aMissingFileIsNoticed() throws IOException {
        ChangeMap ended = open("boot", SIZE);
        point(ended, 1000);
        ended.close(true);
        try (Stream<Path> files = Files.list(directory.resolve("changes"))) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        try (ChangeMap map = open("boot", SIZE)) {
            assertThat(map.points()).isEmpty();
        }
    }

    @Test
    void whatIsForgottenStaysForgotten() throws IOException {
        ChangeMap map = open("boot", SIZE);
        point(map, 1000);
        map.forget("for this test");
        assertThat(map.points()).isEmpty();
        assertThat(point(map, 1)).isEqualTo(1001);
        assertThat(map.knows(1001)).as("nothing is marked any more").isFalse();
        map.close(true);
        try (ChangeMap next = open("boot", SIZE)) {
            assertThat(next.points()).isEmpty();
            assertThat(point(next, 1)).isEqualTo(1002);
            assertThat(next.knows(1002)).isTrue();
        }
    }

    @Test
    void theOldestPointsAreForgottenFirst() {
        ChangeState state = ChangeState.NONE;
        for (long point = 1; point <= ChangeState.MAX_POINTS + 5; point++) {
            state = state.with(point, 1);
        }
        assertThat(state.points()).hasSize(ChangeState.MAX_POINTS).startsWith(6L);
    }

    @Test
    void whatIsStoredIsReadBack() throws IOException {
        ChangeState state = new ChangeState(9, 7, List.of(7L, 8L), "boot", new ImageStamp(1, 2, 3, 4), true);
        assertThat(ChangeState.decode(state.encode())).isEqualTo(state);
        assertThat(ChangeState.decode(ChangeState.NONE.encode())).isEqualTo(ChangeState.NONE);
    }
}
