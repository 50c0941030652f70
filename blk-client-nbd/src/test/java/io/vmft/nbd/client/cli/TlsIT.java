package io.vmft.nbd.client.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** TLS against nbdkit, with certificates from openssl. */
@Timeout(120)
class TlsIT {
    private static final int SIZE_BYTES = 4 << 20;

    @TempDir
    Path folder;

    private final List<Process> processes = new ArrayList<>();
    private final byte[] bytes = new byte[SIZE_BYTES];

    @BeforeEach
    void image() throws IOException, InterruptedException {
        for (String program : List.of("nbdkit", "openssl")) {
            assumeTrue(
                    Arrays.stream(System.getenv("PATH").split(File.pathSeparator, -1))
                            .anyMatch(directory -> Files.isExecutable(Path.of(directory, program))),
                    program + " is not installed");
        }
        new Random(1).nextBytes(bytes);
        Files.write(folder.resolve("disk"), bytes);
        authority("pki");
    }

    @AfterEach
    void stop() throws InterruptedException {
        for (Process process : processes) {
            process.destroy();
            assertThat(process.waitFor(10, TimeUnit.SECONDS))
                    .as("no client keeps the server waiting")
                    .isTrue();
        }
    }

    private void openssl(Path where, String... arguments) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(List.of("openssl"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command)
                .directory(where.toFile())
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("openssl.log").toFile())
                .start();
        assertThat(process.waitFor(30, TimeUnit.SECONDS) && process.exitValue() == 0)
                .as(() -> String.join(" ", command))
                .isTrue();
    }

    /** A folder with an authority, a server "localhost" and a client, as libnbd names the files. */
    private Path authority(String name) throws IOException, InterruptedException {
        Path pki = Files.createDirectories(folder.resolve(name));
        openssl(
                pki,
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=CA " + name,
                "-keyout",
                "ca-key.pem",
                "-out",
                "ca-cert.pem");
        sign(pki, "server", "localhost");
        sign(pki, "client", "someone");
        return pki;
    }

    private void sign(Path pki, String role, String name) throws IOException, InterruptedException {
        openssl(
                pki,
                "req",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-subj",
                "/CN=" + name,
                "-keyout",
                role + "-key.pem",
                "-out",
                role + ".csr");
        Path extension = Files.writeString(pki.resolve(role + ".ext"), "subjectAltName=DNS:" + name + "\n");
        openssl(
                pki,
                "x509",
                "-req",
                "-days",
                "2",
                "-in",
                role + ".csr",
                "-CA",
                "ca-cert.pem",
                "-CAkey",
                "ca-key.pem",
                "-CAcreateserial",
                "-extfile",
                extension.toString(),
                "-out",
                role + "-cert.pem");
    }

    /** Serves on a unix socket; returns the URI without parameters of TLS. */
    private String serve(String... tls) throws IOException {
        Path socket = folder.resolve("sock");
        List<String> command = new ArrayList<>(List.of("nbdkit", "-f", "-U", socket.toString()));
        command.addAll(List.of(tls));
        command.addAll(List.of("file", folder.resolve("disk").toString()));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(folder.resolve("nbdkit.log").toFile())
                .start();
        processes.add(process);
        Awaitility.await().until(() -> Files.exists(socket));
        return "nbds+unix:///?socket=" + socket;
    }

    private String certificates() {
        return "--tls-certificates=" + folder.resolve("pki");
    }

    private static NbdClient connect(String uri) throws IOException {
        return NbdClient.connect(NbdUri.parse(uri));
    }

    @ParameterizedTest
    @ValueSource(strings = {"--tls-verify-peer", "--tls=require"})
    void readsAndWritesEncrypted(String mode) throws IOException {
        String uri = serve("--tls=require", certificates(), mode) + "&tls-certificates=" + folder.resolve("pki");
        try (NbdClient client = connect(uri)) {
            assertThat(client.export().encrypted()).isTrue();
            assertThat(client.blocking().read(0, SIZE_BYTES)).isEqualTo(bytes);
            client.blocking().write(1000, new byte[2_000_000]);
            client.blocking().flush();
            Arrays.fill(bytes, 1000, 2_001_000, (byte) 0);
        }
        assertThat(Files.readAllBytes(folder.resolve("disk"))).isEqualTo(bytes);
        assertThat(NbdClient.list(NbdUri.parse(uri))).hasSize(1);
        assertThat(NbdClient.describe(NbdUri.parse(uri)).encrypted()).isTrue();
    }

    @Test
    void theOlderFormOfKeysWorksToo() throws IOException, InterruptedException {
        Path pki = folder.resolve("pki");
        openssl(pki, "rsa", "-traditional", "-in", "client-key.pem", "-out", "old.pem");
        Files.move(
                pki.resolve("old.pem"),
                pki.resolve("client-key.pem"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        assertThat(pki.resolve("client-key.pem")).content().contains("BEGIN RSA PRIVATE KEY");
        String uri = serve("--tls=require", certificates(), "--tls-verify-peer") + "&tls-certificates=" + pki;
        try (NbdClient client = connect(uri)) {
            assertThat(client.blocking().read(5, 100)).isEqualTo(Arrays.copyOfRange(bytes, 5, 105));
        }
    }

    @Test
    void aServerThatIsNotWhatItShouldBeIsRefused() throws IOException, InterruptedException {
        Path other = authority("other");
        String uri = serve("--tls=require", certificates());
        assertThatThrownBy(() -> connect(uri + "&tls-certificates=" + other)).hasMessageContaining("TLS failed");
        assertThatThrownBy(
                        () -> connect(uri + "&tls-certificates=" + folder.resolve("pki") + "&tls-hostname=elsewhere"))
                .hasMessageContaining("TLS failed")
                .hasMessageContaining("elsewhere");
        connect(uri + "&tls-certificates=" + other + "&tls-verify-peer=false").close();
        assertThatThrownBy(() -> connect(uri + "&tls-certificates=" + folder.resolve("none")))
                .hasMessageContaining("ca-cert.pem cannot be read");
        Files.delete(other.resolve("client-key.pem"));
        assertThatThrownBy(() -> connect(uri + "&tls-certificates=" + other))
                .hasMessageContaining("client-key.pem is missing");
        assertThatThrownBy(() -> connect(uri.replace("nbds", "nbd"))).hasMessageContaining("write nbds://");
    }

    @Test
    void aServerThatDoesNotTrustUsIsNamed() throws IOException, InterruptedException {
        Path other = authority("other");
        Files.copy(
                folder.resolve("pki/ca-cert.pem"),
                other.resolve("ca-cert.pem"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        String uri = serve("--tls=require", certificates(), "--tls-verify-peer");
        assertThatThrownBy(() -> connect(uri + "&tls-certificates=" + other)).isInstanceOf(IOException.class);
    }

    @Test
    void aServerWithoutTlsIsRefused() throws IOException {
        String uri = serve();
        assertThatThrownBy(() -> connect(uri + "&tls-certificates=" + folder.resolve("pki")))
                .hasMessageContaining("the server has no TLS");
    }
}
