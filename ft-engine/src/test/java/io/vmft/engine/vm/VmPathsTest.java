package io.vmft.engine.vm;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class VmPathsTest {
    @TempDir
    Path directory;

    @Test
    void aGuestsMemoryIsItsOwnersOnly() throws Exception {
        assumeTrue(Files.isWritable(Path.of("/dev/shm")), "no tmpfs at /dev/shm");
        try (VmPaths paths = VmPaths.take(directory, "vm1")) {
            Path memory = Objects.requireNonNull(paths.ramFile().getParent());
            assertThat(memory).isEqualTo(paths.blocksFile().getParent());
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(memory)))
                    .isEqualTo("rwx------");
        }
    }
}
