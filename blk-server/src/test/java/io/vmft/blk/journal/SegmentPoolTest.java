package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SegmentPoolTest {
    private static final long SEGMENT = 64 << 10;

    @TempDir
    private Path directory;

    private long filesThere() throws IOException {
        try (Stream<Path> files = Files.list(directory)) {
            return files.count();
        }
    }

    private SegmentPool pool(Duration idle, SegmentPool.Room room) {
        return new SegmentPool(StoreFiles.SYSTEM, directory, SEGMENT, idle, room);
    }

    private static List<SegmentFile> take(SegmentPool pool, int count) throws IOException {
        List<SegmentFile> files = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            files.add(pool.take());
        }
        return files;
    }

    @Test
    void underLoadFilesComeBackInsteadOfBeingMadeAnew() throws Exception {
        try (SegmentPool pool = pool(Duration.ofHours(1), () -> Long.MAX_VALUE)) {
            Set<Integer> slots = new HashSet<>();
            for (int round = 0; round < 5; round++) {
                List<SegmentFile> files = take(pool, 8);
                files.forEach(file -> slots.add(file.slot()));
                files.forEach(pool::giveBack);
            }
            // And those that are made ahead of need.
            assertThat(slots).hasSizeLessThanOrEqualTo(8 + 5);
        }
    }

    @Test
    void whatNobodyNeedsAnyMoreIsGivenBackToTheFileSystem() throws Exception {
        try (SegmentPool pool = pool(Duration.ofMillis(20), () -> Long.MAX_VALUE)) {
            take(pool, 12).forEach(pool::giveBack);
            Awaitility.await().until(() -> filesThere() <= 2);
            // What is left can be used, and no name is used twice.
            List<SegmentFile> files = take(pool, 4);
            assertThat(files.stream().map(SegmentFile::slot)).doesNotHaveDuplicates();
            files.forEach(pool::giveBack);
        }
    }

    @Test
    void sparesMakeRoomWhereTheFileSystemGetsShortOfIt() throws Exception {
        AtomicLong room = new AtomicLong(1 << 30);
        try (SegmentPool pool = pool(Duration.ofHours(1), room::get)) {
            List<SegmentFile> files = take(pool, 12);
            files.forEach(pool::giveBack);
            assertThat(filesThere()).isGreaterThanOrEqualTo(12);
            room.set(24 << 20);
            Awaitility.await().until(() -> filesThere() <= 2);
        }
    }
}
