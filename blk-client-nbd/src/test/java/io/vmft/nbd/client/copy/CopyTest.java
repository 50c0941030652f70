package io.vmft.nbd.client.copy;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.nbd.client.Extent;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CopyTest {
    @TempDir
    Path folder;

    private static Copy copy(Path from, Path to, Copy.Settings settings) throws IOException {
        return Copy.open(new Copy.Place.File(from), new Copy.Place.File(to), settings);
    }

    private Path sparse(long sizeBytes) throws IOException {
        Path path = folder.resolve("from");
        byte[] block = new byte[1 << 20];
        new Random(7).nextBytes(block);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(sizeBytes);
            file.seek(3 << 20);
            file.write(block);
            file.seek((20 << 20) + 5);
            file.write(block);
            file.write(new byte[1 << 20]); // zeroes that are data
        }
        return path;
    }

    private static long dataBytes(Path path) throws IOException {
        long data = 0;
        try (FileHoles holes = FileHoles.open(path)) {
            long size = Files.size(path);
            for (long position = 0; position < size; ) {
                Extent extent = holes.at(position, size - position);
                data += extent.zero() ? 0 : extent.lengthBytes();
                position = extent.end();
            }
        }
        return data;
    }

    @Test
    void copiesAFileWithHolesAndAnOddEnd() throws IOException {
        Path from = sparse((40 << 20) + 17);
        Path to = Files.writeString(folder.resolve("to"), "something that was there");
        List<Long> progress = new ArrayList<>();
        try (Copy copy = copy(from, to, Copy.Settings.DEFAULT)) {
            copy.run(progress::add);
        }
        assertThat(to).hasSameBinaryContentAs(from);
        assertThat(progress).isSorted().endsWith((long) (40 << 20) + 17);
        assertThat(dataBytes(to)).isBetween(2L << 20, (2L << 20) + 2 * 4096 + 17);
    }

    /** More than may be on its way to the disk: the page cache is told to forget the beginning while the rest is written. */
    @Test
    void whatIsDroppedFromThePageCacheIsInTheFile() throws IOException {
        byte[] data = new byte[80 << 20];
        new Random(1).nextBytes(data);
        Path from = Files.write(folder.resolve("from"), data);
        Path to = folder.resolve("to");
        try (Copy copy = copy(from, to, Copy.Settings.DEFAULT)) {
            copy.run(_ -> {});
        }
        assertThat(to).hasSameBinaryContentAs(from);
    }

    @Test
    void oneSmallRequestAtATimeIsEnough() throws IOException {
        Path from = sparse((5 << 20) + 4097);
        Path to = folder.resolve("to");
        try (Copy copy = copy(from, to, new Copy.Settings(1, 4096))) {
            copy.run(_ -> {});
        }
        assertThat(to).hasSameBinaryContentAs(from);
    }

    @Test
    void anEmptyFileIsCopied() throws IOException {
        Path from = Files.createFile(folder.resolve("empty"));
        try (Copy copy = copy(from, folder.resolve("to"), Copy.Settings.DEFAULT)) {
            copy.run(_ -> {});
        }
        assertThat(folder.resolve("to")).isEmptyFile();
    }

    @Test
    void aFileIsNotCopiedOntoItself() throws IOException {
        Path from = Files.write(folder.resolve("from"), new byte[] {1, 2, 3, 4});
        Path link = Files.createSymbolicLink(folder.resolve("link"), from);
        assertThatThrownBy(() -> copy(from, link, Copy.Settings.DEFAULT)).hasMessageContaining("the source itself");
        assertThat(from).hasBinaryContent(new byte[] {1, 2, 3, 4});
    }

    @Test
    void aSourceThatShrinksIsNamed() throws IOException {
        Path from = Files.write(folder.resolve("from"), new byte[] {1, 2, 3, 4});
        try (Copy copy = copy(from, folder.resolve("to"), Copy.Settings.DEFAULT)) {
            Files.write(from, new byte[] {1, 2});
            assertThatThrownBy(() -> copy.run(_ -> {})).hasMessageContaining("became shorter");
        }
        assertThat(folder.resolve("to")).as("what is not whole").isEmptyFile();
    }

    @Test
    void whatCannotBeOpenedIsNamed() {
        Path none = folder.resolve("none");
        assertThatThrownBy(() -> copy(none, folder.resolve("to"), Copy.Settings.DEFAULT))
                .isInstanceOf(NoSuchFileException.class);
        assertThatThrownBy(() -> copy(folder, folder.resolve("to"), Copy.Settings.DEFAULT))
                .hasMessageContaining("is a directory");
        assertThatThrownBy(() -> new Copy.Settings(0, 4096)).hasMessageContaining("use 1 to 1024");
        assertThatThrownBy(() -> new Copy.Settings(1, 5000)).hasMessageContaining("power of two");
    }
}
