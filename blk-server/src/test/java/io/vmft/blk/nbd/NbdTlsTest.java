package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import io.vmft.blk.tls.TestCertificates;
import io.vmft.blk.tls.TlsSettings;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLSocket;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** STARTTLS against literal bytes and the JDK's own client. */
@Timeout(60)
class NbdTlsTest {
    private static final String REPLY = "0003e889045565a9";
    private static final String START_TLS = RawClient.OPTION + "00000005 00000000";
    private static final String START_TLS_ACK = REPLY + "00000005 00000001 00000000";

    @TempDir
    Path folder;

    private final TestCertificates authority = new TestCertificates("authority");
    private final List<AutoCloseable> open = new ArrayList<>();
    private final BlockingQueue<ClientIdentity> clients = new LinkedBlockingQueue<>();
    private final MemoryView view = new MemoryView(1 << 20);

    private Path certificates = Path.of("");

    /** Notes who asks; "private" is for alice alone. */
    private final class Doors implements Exports {
        private final OneExport disk = new OneExport(view);

        @Override
        public List<String> names(ClientIdentity client) {
            clients.add(client);
            return List.of("disk");
        }

        @Override
        public ExportView open(String exportName, ClientIdentity client, ViewOwner owner)
                throws ExportRefusedException {
            clients.add(client);
            if (exportName.equals("private")) {
                if (client.certificateName() == null) {
                    throw new ExportRefusedException(ExportRefusedException.Reason.CERTIFICATE, "show a certificate");
                }
                if (!client.certificateName().equals("alice")) {
                    throw new ExportRefusedException(ExportRefusedException.Reason.POLICY, "not for you");
                }
            }
            return disk.open("disk", client, owner);
        }

        @Override
        public ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException {
            return open(exportName, client, _ -> {});
        }
    }

    @BeforeEach
    void makeCertificates() throws IOException {
        certificates = authority.serverFolder(folder.resolve("server"));
    }

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable resource : open.reversed()) {
            resource.close();
        }
    }

    private NbdServer start(boolean required, boolean verifyPeer) throws IOException {
        return start(required, verifyPeer, NbdLimits.DEFAULT);
    }

    private NbdServer start(boolean required, boolean verifyPeer, NbdLimits limits) throws IOException {
        NbdServer server = NbdServer.start(
                new Doors(),
                List.of(new ListenAddress.Tcp("127.0.0.1", 0)),
                limits,
                new TlsSettings(certificates, required, verifyPeer));
        open.add(server);
        return server;
    }

    private RawClient connect(NbdServer server) throws IOException {
        RawClient client = new RawClient(server.addresses().getFirst());
        open.add(client);
        client.greet("00000003");
        return client;
    }

    /** In TLS, before any option of it. */
    private RawClient secure(NbdServer server, SSLContext context) throws IOException {
        RawClient client = connect(server);
        client.send(START_TLS);
        client.expect(START_TLS_ACK);
        client.startTls(context);
        return client;
    }

    private SSLContext nobody() {
        return ClientTls.context(authority.certificate(), null);
    }

    private SSLContext named(String name) {
        return ClientTls.context(authority.certificate(), authority.issue(name));
    }

    @Test
    void aServerThatDemandsTlsAnswersNothingElseBefore() throws IOException {
        NbdServer server = start(true, false);
        RawClient client = connect(server);
        for (int option : new int[] {3, 8, 11, 99}) {
            client.send(RawClient.OPTION + "%08x 00000000".formatted(option));
            assertThat(client.takeOptionReplies()).isEqualTo("80000005 this server demands TLS");
        }
        client.go("disk");
        assertThat(client.takeOptionReplies()).startsWith("80000005");
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation");
        assertThat(client.takeOptionReplies()).startsWith("80000005");
        client.send(RawClient.OPTION + "00000005 00000001 00");
        assertThat(client.takeOptionReplies()).startsWith("80000003");
        client.send(RawClient.OPTION + "00000002 00000000");
        client.expect(REPLY + "00000002 00000001 00000000");
        client.expectClosed();
        RawClient old = connect(server);
        old.send(RawClient.OPTION + "00000001 00000004 6469736b");
        old.expectClosed();
        assertThat(clients).isEmpty();
    }

    @Test
    void readsAndWritesInTls() throws Exception {
        RawClient client = secure(start(true, false), nobody());
        client.send(RawClient.OPTION + "00000008 00000000");
        client.expect(REPLY + "00000008 00000001 00000000");
        client.go("disk");
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        byte[] data = new byte[700_000];
        new Random(7).nextBytes(data);
        client.request(0, Nbd.CMD_WRITE, 1, 4096, data.length);
        client.send(data);
        client.expectSuccess(1);
        client.request(0, Nbd.CMD_READ, 2, 4096, data.length);
        assertThat(client.takeChunks(2, 4096, data.length)).isEqualTo(data);
        assertThat(view.bytes).contains(data[0], data[data.length - 1]);
        assertThat(clients.poll(20, TimeUnit.SECONDS)).isEqualTo(ClientIdentity.UNKNOWN);
        client.request(0, Nbd.CMD_DISC, 3, 0, 0);
        client.expectClosed();
    }

    @Test
    void tlsIsOfferedToThoseThatWantIt() throws IOException {
        NbdServer server = start(false, false);
        RawClient plain = connect(server);
        plain.go("disk");
        assertThat(plain.takeOptionReplies()).isEqualTo("00000001");
        RawClient secure = secure(server, nobody());
        secure.go("disk");
        assertThat(secure.takeOptionReplies()).isEqualTo("00000001");
    }

    @Test
    void whatWasNegotiatedInPlainTextIsForgotten() throws IOException {
        RawClient client = connect(start(false, false));
        client.send(RawClient.OPTION + "00000008 00000000");
        client.expect(REPLY + "00000008 00000001 00000000");
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation");
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        client.send(START_TLS);
        client.expect(START_TLS_ACK);
        client.startTls(nobody());
        client.go("disk");
        client.takeOptionReplies();
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
        client.expect("67446698 00000016 0000000000000001");
        client.request(0, Nbd.CMD_READ, 2, 0, 1);
        client.expect("67446698 00000000 0000000000000002 00");
    }

    @Test
    void plainTextBehindStartTlsClosesTheConnection() throws IOException {
        RawClient together = connect(start(false, false));
        together.send(START_TLS + RawClient.OPTION + "00000008 00000000");
        together.expectClosed();
        RawClient behind = connect(start(false, false));
        behind.send(START_TLS);
        behind.expect(START_TLS_ACK);
        behind.send(RawClient.OPTION + "00000008 00000000");
        behind.expectClosedAfterAlert();
    }

    @Test
    void tlsCannotBeginTwice() throws IOException {
        RawClient client = secure(start(true, false), nobody());
        client.send(START_TLS);
        assertThat(client.takeOptionReplies()).isEqualTo("80000003 TLS has begun already");
        client.send(RawClient.OPTION + "00000063 00000000");
        assertThat(client.takeOptionReplies()).startsWith("80000001");
    }

    @Test
    void theNameInTheCertificateOpensWhatIsForThatName() throws Exception {
        NbdServer server = start(false, false);
        RawClient plain = connect(server);
        plain.go("private");
        assertThat(plain.takeOptionReplies()).isEqualTo("80000005 show a certificate");
        RawClient nobody = secure(server, nobody());
        nobody.go("private");
        assertThat(nobody.takeOptionReplies()).isEqualTo("80000002 show a certificate");
        RawClient bob = secure(server, named("bob"));
        bob.go("private");
        assertThat(bob.takeOptionReplies()).isEqualTo("80000002 not for you");
        RawClient alice = secure(server, named("alice"));
        alice.go("private");
        assertThat(alice.takeOptionReplies()).isEqualTo("00000001");
        assertThat(clients)
                .containsExactly(
                        ClientIdentity.UNKNOWN,
                        ClientIdentity.UNKNOWN,
                        new ClientIdentity("bob"),
                        new ClientIdentity("alice"));
    }

    @Test
    void aClientThatMustShowACertificateAndHasNoneIsCut() throws IOException {
        NbdServer server = start(true, true);
        RawClient client = connect(server);
        client.send(START_TLS);
        client.expect(START_TLS_ACK);
        assertThatThrownBy(() -> {
                    client.startTls(nobody());
                    client.take(1); // with TLS 1.3 a client learns of its refusal only now
                })
                .isInstanceOf(IOException.class);
        assertThat(clients).isEmpty();
        RawClient named = secure(server, named("alice"));
        named.go("disk");
        assertThat(named.takeOptionReplies()).isEqualTo("00000001");
    }

    @Test
    void aCertificateOfAnotherAuthorityOrExpiredIsNotBelieved() throws IOException {
        TestCertificates other = new TestCertificates("authority");
        NbdServer server = start(true, false);
        for (TestCertificates.Issued issued :
                List.of(other.issue("alice"), authority.issue("alice", Duration.ofMinutes(-5)))) {
            RawClient client = connect(server);
            client.send(START_TLS);
            client.expect(START_TLS_ACK);
            assertThatThrownBy(() -> {
                        client.startTls(ClientTls.context(authority.certificate(), issued));
                        client.take(1);
                    })
                    .isInstanceOf(IOException.class);
        }
        assertThat(clients).isEmpty();
    }

    @Test
    void newCertificatesAreForNewConnections() throws IOException {
        NbdServer server = start(true, false);
        RawClient before = secure(server, nobody());
        TestCertificates next = new TestCertificates("next");
        Files.delete(certificates.resolve("server-key.pem"));
        RawClient between = secure(server, nobody());
        between.go("disk");
        assertThat(between.takeOptionReplies()).isEqualTo("00000001");
        next.serverFolder(certificates);
        RawClient after = secure(server, ClientTls.context(next.certificate(), null));
        after.go("disk");
        assertThat(after.takeOptionReplies()).isEqualTo("00000001");
        before.go("disk");
        assertThat(before.takeOptionReplies()).isEqualTo("00000001");
        RawClient old = connect(server);
        old.send(START_TLS);
        old.expect(START_TLS_ACK);
        assertThatThrownBy(() -> old.startTls(nobody())).isInstanceOf(SSLException.class);
    }

    @Test
    void oldVersionsOfTlsAreNotSpoken() throws IOException {
        NbdServer server = start(true, false);
        for (String version : List.of("TLSv1.2", "TLSv1.3")) {
            RawClient client = connect(server);
            client.send(START_TLS);
            client.expect(START_TLS_ACK);
            SSLSocket socket = client.startTls(nobody(), version);
            assertThat(socket.getSession().getProtocol()).isEqualTo(version);
        }
        RawClient old = connect(server);
        old.send(START_TLS);
        old.expect(START_TLS_ACK);
        // A ClientHello of TLS 1.1 without extensions.
        old.send("1603010031 0100002d 0302" + "11".repeat(32) + "00 0006 002f c013 c009 01 00");
        old.expectClosedAfterAlert();
    }

    @Test
    void aClientCannotMakeTheServerNegotiateAgain() throws IOException {
        RawClient client = connect(start(true, false));
        client.send(START_TLS);
        client.expect(START_TLS_ACK);
        SSLSocket socket = client.startTls(nobody(), "TLSv1.2");
        assertThatThrownBy(() -> {
                    socket.startHandshake();
                    client.send(RawClient.OPTION + "00000003 00000000");
                    client.take(20);
                })
                .isInstanceOf(IOException.class);
    }

    @Test
    void aHandshakeThatStallsInTlsIsCut() throws IOException {
        NbdServer server = start(true, false, NbdLimits.DEFAULT.withHandshake(Duration.ofMillis(500)));
        RawClient client = connect(server);
        client.send(START_TLS);
        client.expect(START_TLS_ACK);
        client.send("160301");
        client.expectClosedAfterAlert();
    }

    @Test
    void withoutTlsItIsUnknown() throws IOException {
        NbdServer server =
                NbdServer.start(new Doors(), List.of(new ListenAddress.Tcp("127.0.0.1", 0)), NbdLimits.DEFAULT);
        open.add(server);
        RawClient client = connect(server);
        client.send(START_TLS);
        assertThat(client.takeOptionReplies()).startsWith("80000001");
        client.go("private");
        assertThat(client.takeOptionReplies()).isEqualTo("80000002 show a certificate");
    }
}
