package io.vmft.blk.journal;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;

class RocksLibraryTest {
    @Test
    void aServerThatIsKilledLeavesNoFileOfIt() throws IOException {
        Path temporary = Path.of(System.getProperty("java.io.tmpdir"));
        RocksLibrary.load();
        RocksLibrary.load();
        List<String> mapped = Files.readAllLines(Path.of("/proc/self/maps")).stream()
                .filter(line -> line.contains("librocksdbjni"))
                .toList();
        assertThat(mapped)
                .isNotEmpty()
                .allMatch(line -> line.contains(temporary + "/" + RocksLibrary.FOLDER_PREFIX))
                .allMatch(line -> line.endsWith("(deleted)"))
                .allMatch(line -> Files.notExists(folderOf(line)));
    }

    /** Of a line of {@code maps}: from the first slash to the last. */
    private static Path folderOf(String line) {
        return Path.of(line.substring(line.indexOf('/'), line.lastIndexOf('/')));
    }
}
