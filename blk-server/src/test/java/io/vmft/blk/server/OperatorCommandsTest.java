package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.nbd.ListenAddress;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an operator is told who asks what makes no sense: one line, and a status. */
class OperatorCommandsTest {
    @TempDir
    private Path directory;

    private final PrintStream errorsBefore = System.err;
    private final ByteArrayOutputStream errors = new ByteArrayOutputStream();

    @BeforeEach
    void listen() {
        System.setErr(new PrintStream(errors, true, StandardCharsets.UTF_8));
    }

    @AfterEach
    void stopListening() {
        System.setErr(errorsBefore);
    }

    private void expect(int status, String text, String... arguments) {
        errors.reset();
        assertThat(BlkServerMain.commandLine().execute(arguments)).isEqualTo(status);
        List<String> lines = errors.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(line -> line.startsWith("blk-server: "))
                .toList();
        assertThat(lines).hasSize(1);
        assertThat(lines.getFirst()).contains(text);
    }

    @Test
    void aServerThatIsNotNamedOrNotThereOrNoServer() throws IOException {
        String nowhere = directory.resolve("nowhere").toString();
        expect(2, "which server?", "check");
        expect(2, "which server?", "check", "--data", nowhere, "--control", "127.0.0.1:1");
        expect(2, "does not exist", "check", "--data", nowhere);
        expect(1, "does not exist", "journal", "ls", "--data", nowhere);
        expect(1, "does not exist", "export-epoch", "disk", "3", "--to", "f", "--data", nowhere);
        assertThat(directory.resolve("nowhere")).doesNotExist();
        expect(2, "is not a block server's directory", "check", "--data", directory.toString());
        expect(1, "is not a block server's directory", "arbiter", "list", "--data", directory.toString());
        Path file = Files.createFile(directory.resolve("file"));
        expect(2, "is not a block server's directory", "check", "--data", file.toString());
        assertThat(directory).isDirectoryContaining(path -> path.equals(file));
        Files.createDirectory(directory.resolve("index"));
        expect(1, "there is no index in it", "journal", "ls", "--data", directory.toString());
        expect(2, "no block server answers (Connection refused", "check", "--control", "127.0.0.1:1");
        expect(1, "no block server answers", "arbiter", "list", "--control", "127.0.0.1:1");
        expect(2, "no such file", "check", "--config", nowhere);
    }

    @Test
    void wrongArguments() {
        String data = directory.toString();
        expect(2, "HOST:PORT", "arbiter", "list", "--control", "nonsense");
        expect(2, "list, show, force; see blk-server arbiter --help", "arbiter");
        expect(2, "'lsit' is not understood", "arbiter", "lsit", "--data", data);
        expect(2, "the commands are grow, check, journal", "arbitre", "list");
        expect(2, "one of ls", "journal");
        expect(2, "VM", "arbiter", "show", "--data", data);
        expect(2, "--reason", "arbiter", "force", "vm1", "--close", "--data", data);
        expect(2, "--close", "arbiter", "force", "vm1", "--reason", "r", "--data", data);
        expect(2, "--solo", "arbiter", "force", "vm1", "--close", "--solo", "h", "--reason", "r", "--data", data);
        expect(2, "neither the number", "export-epoch", "disk", "x", "--to", "f", "--data", data);
        expect(2, "--to", "export-epoch", "disk", "3", "--data", data);
        expect(2, "Unknown option", "check", "--repair");
    }

    @Test
    void aRunningServerIsAskedAndNotLookedAtBehindItsBack() throws Exception {
        BlkServerConfig.Builder config = BlkServerConfig.forTest(
                directory.resolve("data"), List.of(VolumeSpec.created("disk", directory.resolve("disk.img"), 1 << 20)));
        try (BlkServer server = BlkServer.start(config.build())) {
            String control = "127.0.0.1:" + server.controlAddress().getPort();
            assertThat(BlkServerMain.commandLine().execute("check", "--control", control))
                    .isZero();
            expect(
                    1,
                    "not the control port of a block server",
                    "arbiter",
                    "list",
                    "--control",
                    "127.0.0.1:" + ((ListenAddress.Tcp) server.nbdAddresses().getFirst()).port());
            expect(1, "there is no VM none", "arbiter", "show", "none", "--control", control);
            String out = directory.resolve("out").toString();
            expect(1, "its last commit only", "export-epoch", "disk", "3", "--to", out, "--control", control);
            expect(
                    1,
                    "there is no volume none",
                    "export-epoch",
                    "none",
                    "committed",
                    "--to",
                    out,
                    "--control",
                    control);
            expect(1, "no folder", "export-epoch", "disk", "committed", "--to", out + "/x", "--control", control);
            assertThat(BlkServerMain.commandLine()
                            .execute("export-epoch", "disk", "committed", "--to", out, "--control", control))
                    .isZero();
            expect(1, "is there already", "export-epoch", "disk", "committed", "--to", out, "--control", control);
            assertThat(Path.of(out)).hasSize(1 << 20);
            // Last, for looking at the lock's file in the same process gives the lock up.
            expect(
                    2,
                    "is asked with --control " + control,
                    "check",
                    "--data",
                    directory.resolve("data").toString());
        }
    }
}
