package io.vmft.nbd.client;

import static io.vmft.nbd.client.ScriptedServer.GREETING;
import static io.vmft.nbd.client.ScriptedServer.OPTION_REPLY;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.ByteBufUtil;
import io.netty.buffer.Unpooled;
import io.vmft.proto.nbd.Nbd;
import io.vmft.proto.nbd.NbdError;
import io.vmft.proto.nbd.NbdHeaders;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class NbdClientTest {
    private static String read(NbdClient client, long offset, int lengthBytes) throws IOException {
        ByteBuf data = Waiting.get(client.read(offset, lengthBytes));
        try {
            return ByteBufUtil.hexDump(data);
        } finally {
            data.release();
        }
    }

    @Test
    void learnsTheExport() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.send(GREETING);
                    assertThat(session.take(4)).isEqualTo("00000003");
                    assertThat(session.takeOption()).isEqualTo(Nbd.OPT_EXTENDED_HEADERS);
                    session.send(OPTION_REPLY + "0000000b 80000001 00000000");
                    assertThat(session.takeOption()).isEqualTo(Nbd.OPT_STRUCTURED_REPLY);
                    session.send(OPTION_REPLY + "00000008 00000001 00000000");
                    assertThat(session.takeOption()).isEqualTo(Nbd.OPT_GO);
                    session.send(OPTION_REPLY + "00000007 00000003 0000000c 0000 0000000000100000 0003");
                    session.send(OPTION_REPLY + "00000007 00000003 0000000e 0003 00000200 00010000 00100000");
                    session.send(OPTION_REPLY + "00000007 00000001 00000000");
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThat(client.export())
                    .isEqualTo(new NbdExport(
                            "disk", 1 << 20, 3, 512, 65536, 1 << 20, "", NbdHeaders.STRUCTURED, List.of(), false));
            assertThat(client.export().readOnly()).isTrue();
        }
    }

    @Test
    void fallsBackToExportNameAndSimpleReplies() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.send(GREETING);
                    session.take(4);
                    session.refuseHeaders();
                    session.takeOption();
                    session.send(OPTION_REPLY + "00000007 80000001 00000000");
                    assertThat(session.takeOption()).isEqualTo(Nbd.OPT_EXPORT_NAME);
                    session.send("0000000000001000 0001");
                    String first = session.takeRequest();
                    String second = session.takeRequest();
                    session.send("67446698 00000000" + second + "bbbb");
                    session.send("67446698 00000000" + first + "aa");
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            CompletableFuture<ByteBuf> first = client.read(0, 1);
            CompletableFuture<ByteBuf> second = client.read(1, 2);
            assertThat(ByteBufUtil.hexDump(Waiting.get(first))).isEqualTo("aa");
            assertThat(ByteBufUtil.hexDump(Waiting.get(second))).isEqualTo("bbbb");
            first.join().release();
            second.join().release();
        }
    }

    @Test
    void assemblesChunksAndHolesInAnyOrder() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    String cookie = session.takeRequest();
                    session.send("668e33ef 0000 0001" + cookie + "0000000a 0000000000001006 cccc");
                    session.send("668e33ef 0000 0002" + cookie + "0000000c 0000000000001002 00000004");
                    session.send("668e33ef 0001 0001" + cookie + "0000000a 0000000000001000 aaaa");
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThat(read(client, 4096, 8)).isEqualTo("aaaa00000000cccc");
        }
    }

    @Test
    void aReadWithAMissingPieceFailsAndEndsTheConnection() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    String cookie = session.takeRequest();
                    session.send("668e33ef 0001 0001" + cookie + "0000000a 0000000000001000 aaaa");
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThatThrownBy(() -> read(client, 4096, 8)).hasMessageContaining("read of 8 bytes with 2");
            assertThatThrownBy(() -> Waiting.get(client.flush())).isInstanceOf(NbdDisconnectedException.class);
        }
    }

    @Test
    void bytesThatWereNotAskedForAreRefused() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    String cookie = session.takeRequest();
                    session.send("668e33ef 0001 0001" + cookie + "0000000a 0000000000001007 aaaa");
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThatThrownBy(() -> read(client, 4096, 8)).hasMessageContaining("not asked for");
        }
    }

    @Test
    void tellsErrorsAndGoesOn() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    String write = session.takeRequest();
                    assertThat(session.take(2)).isEqualTo("abcd");
                    session.send("668e33ef 0001 8001" + write + "0000000a 0000001c 0004 66756c6c");
                    session.send("67446698 00000005" + session.takeRequest());
                    session.send("67446698 00000000" + session.takeRequest());
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThatThrownBy(() -> Waiting.get(client.write(
                            0, Unpooled.wrappedBuffer(new byte[] {(byte) 0xab, (byte) 0xcd}), RequestFlag.FUA)))
                    .hasMessage("full (ENOSPC)")
                    .isInstanceOfSatisfying(
                            NbdRequestException.class,
                            e -> assertThat(e.error()).isEqualTo(NbdError.ENOSPC));
            assertThatThrownBy(() -> Waiting.get(client.trim(0, 4096))).hasMessage("the server answered EIO");
            Waiting.get(client.flush());
        }
    }

    @Test
    void whatWasNotAnsweredIsUnknownWhenTheConnectionEnds() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            ByteBuf data = Unpooled.wrappedBuffer(new byte[0]);
            assertThatThrownBy(() -> Waiting.get(client.write(0, data))).isInstanceOf(NbdDisconnectedException.class);
        }
    }

    @Test
    void passesARefusalOn() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
            session.send(GREETING);
            session.take(4);
            session.refuseHeaders();
            session.takeOption();
            session.send(OPTION_REPLY + "00000007 80000002 00000004 68656c64");
        })) {
            assertThatThrownBy(() -> NbdClient.connect(server.uri()))
                    .isInstanceOfSatisfying(
                            NbdRefusedException.class,
                            e -> assertThat(e.replyType()).isEqualTo(Nbd.REP_ERR_POLICY))
                    .hasMessage(server.uri() + ": held");
        }
    }

    @Test
    void listsExports() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
            session.send(GREETING);
            session.take(4);
            assertThat(session.takeOption()).isEqualTo(Nbd.OPT_LIST);
            session.send(OPTION_REPLY + "00000003 00000002 00000005 00000001 61");
            session.send(OPTION_REPLY + "00000003 00000002 00000005 00000001 62");
            session.send(OPTION_REPLY + "00000003 00000001 00000000");
        })) {
            assertThat(NbdClient.list(server.uri())).containsExactly("a", "b");
        }
    }

    @Test
    void whatIsNoNbdServerIsNamedSo() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> session.send("48".repeat(18)))) {
            assertThatThrownBy(() -> NbdClient.connect(server.uri())).hasMessageContaining("bad magic");
        }
        try (ScriptedServer server = new ScriptedServer(_ -> {})) {
            assertThatThrownBy(() -> NbdClient.connect(server.uri())).hasMessageContaining("closed the connection");
        }
    }

    @Test
    void requestsOutsideTheExportAreRefusedHere() throws IOException {
        try (ScriptedServer server = new ScriptedServer(session -> {
                    session.handshake();
                    session.takeRequest();
                });
                NbdClient client = NbdClient.connect(server.uri())) {
            assertThatThrownBy(() -> client.read((1 << 20) - 1, 2)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> client.read(-1, 1)).isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> client.trim(0, (1 << 20) + 1)).isInstanceOf(IllegalArgumentException.class);
            ByteBuf data = Unpooled.buffer(2).writeZero(2);
            assertThatThrownBy(() -> client.write((1 << 20) - 1, data)).isInstanceOf(IllegalArgumentException.class);
            assertThat(data.refCnt()).isZero();
        }
    }
}
