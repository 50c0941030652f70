package io.vmft.blk.server;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.nbd.ListenAddress;
import io.vmft.blk.nbd.Tool;
import io.vmft.blk.tls.TestCertificates;
import io.vmft.blk.tls.TlsSettings;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** libnbd and QEMU, both with GnuTLS, against a whole block server that speaks TLS. */
@Timeout(180)
class TlsClientsIT {
    private static final int SIZE_BYTES = 16 << 20;

    @TempDir
    Path folder;

    private final TestCertificates authority = new TestCertificates("authority");
    private final List<BlkServer> servers = new ArrayList<>();

    @AfterEach
    void stop() {
        servers.forEach(BlkServer::close);
    }

    /** Serves "open" to everybody and "private" to alice. */
    private BlkServer start(boolean required, boolean verifyPeer) throws IOException {
        return start(authority.serverFolder(folder.resolve("server")), required, verifyPeer);
    }

    private BlkServer start(Path certificates, boolean required, boolean verifyPeer) throws IOException {
        byte[] data = new byte[SIZE_BYTES];
        new Random(1).nextBytes(data);
        Path image = Files.write(folder.resolve("open.img"), data);
        VolumeSpec secret =
                VolumeSpec.parse("private=" + folder.resolve("private.img") + ",create=" + SIZE_BYTES + ",allow=alice");
        BlkServer server = BlkServer.start(BlkServerConfig.forTest(
                        folder.resolve("data"), List.of(VolumeSpec.existing("open", image), secret))
                .listen(List.of(new ListenAddress.Tcp("127.0.0.1", 0), new ListenAddress.Unix(folder.resolve("s"))))
                .tls(new TlsSettings(certificates, required, verifyPeer))
                .build());
        servers.add(server);
        return server;
    }

    private Path client(String name) throws IOException {
        return authority.clientFolder(folder.resolve(name), authority.issue(name));
    }

    private Path nobody() throws IOException {
        return authority.clientFolder(folder.resolve("nobody"));
    }

    private static ListenAddress.Tcp tcp(BlkServer server) {
        return (ListenAddress.Tcp) server.nbdAddresses().getFirst();
    }

    private static String uri(BlkServer server, String export, Path certificates) {
        return tcp(server).tlsUri(export) + "?tls-certificates=" + certificates;
    }

    private static String unixUri(BlkServer server, String export, Path certificates) {
        return server.nbdAddresses().getLast().tlsUri(export) + "&tls-certificates=" + certificates;
    }

    /** Runs a QEMU program on an export of this server, through TLS. */
    private static Tool.Result qemu(
            BlkServer server, String export, Path certificates, List<String> program, String... more) throws Exception {
        List<String> command = new ArrayList<>(program);
        command.addAll(List.of(
                "--object",
                "tls-creds-x509,id=tls0,endpoint=client,verify-peer=yes,dir=" + certificates,
                "--image-opts",
                "driver=nbd,host=127.0.0.1,port=" + tcp(server).port() + ",export=" + export
                        + ",tls-creds=tls0,tls-hostname=localhost"));
        command.addAll(List.of(more));
        return Tool.run(command.toArray(String[]::new));
    }

    @Test
    void nbdinfoListsWhatTheClientsNameMaySee() throws Exception {
        Tool.assumeInstalled("nbdinfo");
        BlkServer server = start(true, false);
        assertThat(Tool.ok("nbdinfo", "--list", "--json", uri(server, "", client("alice"))))
                .contains("\"TLS\": true", "\"open\"", "\"private\"");
        assertThat(Tool.ok("nbdinfo", "--list", "--json", uri(server, "", nobody())))
                .contains("\"open\"")
                .doesNotContain("\"private\"");
        assertThat(Tool.ok("nbdinfo", "--json", unixUri(server, "private", client("alice"))))
                .contains("\"TLS\": true", "\"export-size\": " + SIZE_BYTES);
    }

    @Test
    void whoIsNotOnTheListIsToldSo() throws Exception {
        Tool.assumeInstalled("nbdinfo", "qemu-img");
        BlkServer server = start(true, false);
        assertThat(Tool.run("nbdinfo", uri(server, "private", client("bob"))).exitStatus())
                .isNotZero();
        List<String> info = List.of("qemu-img", "info");
        assertThat(qemu(server, "private", client("bob"), info).output()).contains("private is not for bob");
        assertThat(qemu(server, "private", client("alice"), info).output()).contains("16 MiB");
    }

    @Test
    void nbdcopyCopiesBothWaysOverFourConnections() throws Exception {
        Tool.assumeInstalled("nbdcopy");
        BlkServer server = start(true, true);
        Path copy = folder.resolve("copy");
        Path alice = client("alice");
        Tool.ok("nbdcopy", "--connections=4", uri(server, "open", alice), copy.toString());
        assertThat(copy).hasSameBinaryContentAs(folder.resolve("open.img"));
        Tool.ok("nbdcopy", "--connections=4", "--flush", copy.toString(), unixUri(server, "private", alice));
        assertThat(folder.resolve("private.img")).hasSameBinaryContentAs(copy);
    }

    @Test
    void qemuReadsItsPatternsBack() throws Exception {
        Tool.assumeInstalled("qemu-io");
        BlkServer server = start(true, true);
        List<String> steps = new ArrayList<>();
        for (String step : List.of(
                "write -P 0xaa 1M 4M",
                "write -f -P 0xbb 1536 512",
                "write -z 2M 64k",
                "read -P 0xaa 1M 1M",
                "read -P 0xbb 1536 512",
                "read -P 0 2M 64k")) {
            steps.addAll(List.of("-c", step));
        }
        Tool.Result result = qemu(server, "open", client("alice"), List.of("qemu-io"), steps.toArray(String[]::new));
        assertThat(result.output()).doesNotContain("verification failed", "failed:");
        assertThat(result.exitStatus()).isZero();
    }

    @Test
    void whoShowsNothingOrSomethingElseIsNotAdmitted() throws Exception {
        Tool.assumeInstalled("nbdinfo");
        BlkServer server = start(true, true);
        assertThat(Tool.run("nbdinfo", uri(server, "open", nobody())).exitStatus())
                .isNotZero();
        Path expired =
                authority.clientFolder(folder.resolve("expired"), authority.issue("alice", Duration.ofMinutes(-5)));
        assertThat(Tool.run("nbdinfo", uri(server, "open", expired)).exitStatus())
                .isNotZero();
        TestCertificates other = new TestCertificates("authority");
        Path forged = authority.clientFolder(folder.resolve("forged"), other.issue("alice"));
        assertThat(Tool.run("nbdinfo", uri(server, "open", forged)).exitStatus())
                .isNotZero();
        Path elsewhere = other.clientFolder(folder.resolve("elsewhere"), authority.issue("alice"));
        assertThat(Tool.run("nbdinfo", uri(server, "open", elsewhere)).exitStatus())
                .as("a client that does not believe the server")
                .isNotZero();
        assertThat(Tool.ok("nbdinfo", uri(server, "open", client("alice")))).contains("export-size");
    }

    @Test
    void plainTextIsServedOnlyWhereTlsIsAnOffer() throws Exception {
        Tool.assumeInstalled("nbdinfo", "qemu-img");
        BlkServer demanding = start(true, false);
        assertThat(Tool.run("nbdinfo", tcp(demanding).uri("open")).exitStatus()).isNotZero();
        assertThat(Tool.run("qemu-img", "info", tcp(demanding).uri("open")).output())
                .contains("this server demands TLS");
        servers.removeFirst().close();
        BlkServer offering = start(false, false);
        assertThat(Tool.ok("nbdinfo", "--json", tcp(offering).uri("open"))).contains("\"TLS\": false");
        assertThat(Tool.run("qemu-img", "info", tcp(offering).uri("private")).output())
                .contains("only for clients that show a certificate");
        assertThat(Tool.ok("nbdinfo", "--json", uri(offering, "private", client("alice"))))
                .contains("\"TLS\": true");
    }

    /** With the keys and certificates of the tool that the clients' manuals name. */
    @Test
    void certtoolsFilesAreUnderstood() throws Exception {
        Tool.assumeInstalled("certtool", "nbdinfo");
        Path pki = Files.createDirectories(folder.resolve("pki"));
        Files.writeString(pki.resolve("ca.info"), "cn = test\nca\ncert_signing_key\n");
        Files.writeString(
                pki.resolve("server.info"),
                "cn = localhost\ndns_name = localhost\nip_address = 127.0.0.1\ntls_www_server\nsigning_key\n");
        Files.writeString(pki.resolve("client.info"), "cn = alice\ntls_www_client\nsigning_key\n");
        for (String who : List.of("ca", "server", "client")) {
            Files.writeString(
                    pki.resolve(who + "-key.pem"),
                    Tool.ok("certtool", "--generate-privkey", "--key-type=rsa", "--bits=2048"));
        }
        Tool.ok(
                "certtool",
                "--generate-self-signed",
                "--load-privkey=" + pki.resolve("ca-key.pem"),
                "--template=" + pki.resolve("ca.info"),
                "--outfile=" + pki.resolve("ca-cert.pem"));
        for (String who : List.of("server", "client")) {
            Tool.ok(
                    "certtool",
                    "--generate-certificate",
                    "--load-ca-certificate=" + pki.resolve("ca-cert.pem"),
                    "--load-ca-privkey=" + pki.resolve("ca-key.pem"),
                    "--load-privkey=" + pki.resolve(who + "-key.pem"),
                    "--template=" + pki.resolve(who + ".info"),
                    "--outfile=" + pki.resolve(who + "-cert.pem"));
        }
        BlkServer server = start(pki, true, true);
        assertThat(Tool.ok("nbdinfo", "--json", uri(server, "private", pki))).contains("\"TLS\": true");
    }
}
