package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class UnixSocketFileTest {
    @TempDir
    Path folder;

    private NbdServer start(ListenAddress address) throws IOException {
        return NbdServer.start(new OneExport(new MemoryView(4096)), List.of(address), NbdLimits.DEFAULT);
    }

    private static void connect(Path path) throws IOException {
        SocketChannel.open(UnixDomainSocketAddress.of(path)).close();
    }

    @Test
    void theSocketHasItsModeAndGoesWithTheServer() throws IOException {
        Path path = folder.resolve("s");
        try (NbdServer _ = start(new ListenAddress.Unix(path))) {
            connect(path);
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
                    .isEqualTo("rw-------");
            try (var left = Files.list(folder)) {
                assertThat(left).containsExactly(path);
            }
        }
        assertThat(path).doesNotExist();
        try (NbdServer _ = start(ListenAddress.parse("unix:" + path + ",mode=0660"))) {
            assertThat(PosixFilePermissions.toString(Files.getPosixFilePermissions(path)))
                    .isEqualTo("rw-rw----");
        }
    }

    @Test
    void aDeadServersSocketIsReplaced() throws IOException {
        Path path = folder.resolve("s");
        ServerSocketChannel.open(StandardProtocolFamily.UNIX)
                .bind(UnixDomainSocketAddress.of(path))
                .close();
        assertThat(path).exists();
        try (NbdServer _ = start(new ListenAddress.Unix(path))) {
            connect(path);
        }
    }

    @Test
    void aLiveServersSocketIsLeftAlone() throws IOException {
        Path path = folder.resolve("s");
        try (NbdServer _ = start(new ListenAddress.Unix(path))) {
            assertThatThrownBy(() -> start(new ListenAddress.Unix(path)))
                    .hasMessage("another server listens on " + path + "; stop it or choose another path");
            connect(path);
        }
    }

    @Test
    void anotherKindOfFileIsLeftAlone() throws IOException {
        Path path = Files.writeString(folder.resolve("s"), "precious");
        assertThatThrownBy(() -> start(new ListenAddress.Unix(path))).hasMessageContaining("is not a socket");
        assertThat(path).hasContent("precious");
    }

    @Test
    void aServerThatWasReplacedLeavesItsSuccessorsSocket() throws IOException {
        Path path = folder.resolve("s");
        try (NbdServer _ = start(new ListenAddress.Unix(path))) {
            Files.delete(path);
            NbdServer successor = start(new ListenAddress.Unix(path));
            try (successor) {
                connect(path);
            }
        }
        assertThat(path).doesNotExist();
    }
}
