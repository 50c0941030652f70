package io.vmft.blk.file;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A pipe between two files: to the system a file is as good as a socket. */
class PipeTest {
    private static final int LENGTH = 200_000;

    @TempDir
    private Path folder;

    private final byte[] bytes = new byte[LENGTH];
    private final Pipe pipe = Objects.requireNonNull(Pipe.open(1 << 20));
    private Path target = Path.of("");
    private int source;

    @BeforeEach
    void makeFiles() throws IOException {
        new Random(1).nextBytes(bytes);
        Path path = Files.write(folder.resolve("source"), bytes);
        target = folder.resolve("target");
        source = Libc.open(path.toString(), Libc.O_RDONLY, 0);
        assertThat(source).isPositive();
    }

    @AfterEach
    void close() {
        pipe.close();
        Libc.close(source);
    }

    private void fill(int lengthBytes) {
        while (pipe.lengthBytes() < lengthBytes) {
            assertThat(pipe.fill(source, lengthBytes - pipe.lengthBytes())).isPositive();
        }
    }

    @Test
    void whatFilledItIsWrittenWhereItBelongs() throws IOException {
        try (StoreFile file = StoreFiles.SYSTEM.open(target, StoreFiles.Access.CREATE)) {
            fill(LENGTH);
            assertThat(file.write(5, pipe)).isTrue();
        }
        assertThat(pipe.lengthBytes()).isZero();
        byte[] written = Files.readAllBytes(target);
        assertThat(written).hasSize(LENGTH + 5);
        assertThat(Arrays.copyOfRange(written, 5, written.length)).isEqualTo(bytes);
    }

    @Test
    void itIsFilledNoFurtherThanItIsTold() {
        assertThat(pipe.fill(source, 1000)).isEqualTo(1000);
        assertThat(pipe.fill(source, 1)).isEqualTo(1);
        assertThat(pipe.lengthBytes()).isEqualTo(1001);
    }

    @Test
    void theEndOfItsSourceAndAFullPipeAreToldApart() {
        Libc.seek(source, LENGTH, 0);
        assertThat(pipe.fill(source, 1)).isZero();
        int count = 1;
        // A byte at a time from ever other pages: each takes a page's place.
        for (int i = 0; count > 0; i++) {
            assertThat(i).isLessThan(10_000);
            Libc.seek(source, i * 4096 % LENGTH, 0);
            count = pipe.fill(source, 1);
        }
        assertThat(Pipe.mustWait(count)).isTrue();
        assertThat(pipe.lengthBytes()).isEqualTo((1 << 20) / 4096);
    }

    @Test
    void aFileThatCannotTakeItLeavesItWhole() throws IOException {
        fill(LENGTH);
        // Opened to append a file has no positions to write at.
        int appending = Libc.open(folder.resolve("target").toString(), Libc.O_RDWR | Libc.O_CREAT | 02000, 0600);
        try (StoreFile file = new PosixFile(target, appending)) {
            assertThat(file.write(0, pipe)).isFalse();
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment memory = arena.allocate(LENGTH);
            pipe.read(memory);
            assertThat(memory.toArray(ValueLayout.JAVA_BYTE)).isEqualTo(bytes);
        }
        assertThat(pipe.lengthBytes()).isZero();
    }

    @Test
    void aFailureOfTheFileIsTold() throws IOException {
        fill(LENGTH);
        try (StoreFile file = new PosixFile(target, source)) {
            assertThatThrownBy(() -> file.write(0, pipe)).isInstanceOf(IOException.class);
        }
        source = -1;
    }
}
