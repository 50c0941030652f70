package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Transcripts of sessions with extended headers, byte for byte as the specification's branch has them. */
@Timeout(60)
class NbdExtendedHeadersTest {
    private static final String REPLY = "0003e889045565a9";
    private static final String REQUEST = "21e41c71";
    private static final String CHUNK = "6e8a278c";

    private final List<AutoCloseable> open = new ArrayList<>();

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable resource : open.reversed()) {
            resource.close();
        }
    }

    private RawClient extended(ExportView view) throws IOException {
        NbdServer server =
                NbdServer.start(new OneExport(view), List.of(new ListenAddress.Tcp("127.0.0.1", 0)), NbdLimits.DEFAULT);
        open.add(server);
        RawClient client = new RawClient(server.addresses().getFirst());
        open.add(client);
        client.greet("00000003");
        client.send(RawClient.OPTION + "0000000b 00000000");
        client.expect(REPLY + "0000000b 00000001 00000000");
        return client;
    }

    private RawClient onDisk(ExportView view) throws IOException {
        RawClient client = extended(view);
        client.go("disk");
        client.expect(REPLY + "00000007 00000003 0000000c 0000 %016x 0ded".formatted(view.sizeBytes()));
        client.expect(REPLY + "00000007 00000001 00000000");
        return client;
    }

    @Test
    void readsAndWritesAreAnsweredInExtendedChunks() throws IOException {
        RawClient client = onDisk(new MemoryView(1 << 20));
        client.send(REQUEST + "0021 0001 0000000000000001 0000000000001000 0000000000000004 aabbccdd");
        client.expect(CHUNK + "0001 0000 0000000000000001 0000000000001000 0000000000000000");
        client.send(REQUEST + "0000 0000 0000000000000002 0000000000001001 0000000000000002");
        client.expect(CHUNK + "0001 0001 0000000000000002 0000000000001001 000000000000000a 0000000000001001 bbcc");
        client.send(REQUEST + "0000 0003 0000000000000003 0000000000000000 0000000000000000");
        client.expect(CHUNK + "0001 0000 0000000000000003 0000000000000000 0000000000000000");
        client.send(REQUEST + "0000 0000 0000000000000004 0000000000001000 0000000000000000");
        client.expect(CHUNK + "0001 0000 0000000000000004 0000000000001000 0000000000000000");
    }

    @Test
    void theChunksOfALongReadCarryTheOffsetOfTheRequest() throws IOException {
        MemoryView view = new MemoryView(2 << 20);
        RawClient client = onDisk(view);
        client.send(REQUEST + "0000 0000 0000000000000005 0000000000000800 0000000000180000");
        int left = 0x180000;
        while (left > 0) {
            client.expect(CHUNK + "0000 0001 0000000000000005 0000000000000800");
            int payload = (int) Long.parseLong(client.take(8), 16);
            client.take(payload);
            left -= payload - 8;
        }
        client.expect(CHUNK + "0001 0000 0000000000000005 0000000000000800 0000000000000000");
        byte[] data = new byte[0x180000];
        java.util.Arrays.fill(data, (byte) 0x5a);
        client.send(REQUEST + "0020 0001 0000000000000006 0000000000000800 0000000000180000");
        client.send(data);
        client.expect(CHUNK + "0001 0000 0000000000000006 0000000000000800 0000000000000000");
        assertThat(view.bytes[0x800 + 0x17ffff]).isEqualTo((byte) 0x5a);
    }

    @Test
    void errorsAreExtendedToo() throws IOException {
        RawClient client = onDisk(new MemoryView(1 << 20));
        client.send(REQUEST + "0000 0000 0000000000000001 0000000000100000 0000000000000001");
        client.expect(CHUNK + "0001 8001 0000000000000001 0000000000100000 0000000000000023 00000016 001d");
        client.take(29);
        client.send(REQUEST + "0000 0006 0000000000000002 0000000000000000 ffffffffffffffff");
        client.expect(CHUNK + "0001 8001 0000000000000002 0000000000000000 0000000000000023 0000001c 001d");
        client.take(29);
        client.send(REQUEST + "0000 0004 0000000000000003 0000000000000001 7fffffffffffffff");
        client.expect(CHUNK + "0001 8001 0000000000000003 0000000000000001 0000000000000023 00000016 001d");
        client.take(29);
        client.send(REQUEST + "0020 0007 0000000000000004 0000000000000000 000000000000000c" + "00".repeat(12));
        client.expect(CHUNK + "0001 8001 0000000000000004 0000000000000000");
        client.take((int) Long.parseLong(client.take(8), 16));
        client.send(REQUEST + "0000 0003 0000000000000005 0000000000000000 0000000000000000");
        client.expect(CHUNK + "0001 0000 0000000000000005 0000000000000000 0000000000000000");
    }

    @Test
    void lengthsBeyond32BitsReachStorage() throws IOException {
        StripedView view = new StripedView(1L << 45, 1L << 40);
        RawClient client = extended(view);
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation", StripedView.WHOLE);
        client.takeOptionReplies();
        client.go("disk");
        client.takeOptionReplies();
        client.send(REQUEST + "0010 0006 0000000000000001 0000000000001000 0000010000000000");
        client.expect(CHUNK + "0001 0000 0000000000000001 0000000000001000 0000000000000000");
        client.send(REQUEST + "0001 0004 0000000000000002 0000000000000000 0000200000000000");
        client.expect(CHUNK + "0001 0000 0000000000000002 0000000000000000 0000000000000000");
        client.send(REQUEST + "0000 0005 0000000000000003 0000000000000000 0000000100000000");
        client.expect(CHUNK + "0001 0000 0000000000000003 0000000000000000 0000000000000000");
        client.send(REQUEST + "0000 0007 0000000000000004 0000010000000000 0000018000000000");
        client.expect(CHUNK + "0000 0006 0000000000000004 0000010000000000 0000000000000028 00000001 00000002");
        client.expect("0000010000000000 0000000000000000 0000010000000000 0000000000000003");
        client.expect(CHUNK + "0001 0006 0000000000000004 0000010000000000 0000000000000018 00000002 00000001");
        client.expect("00001f0000000000 00000000ffffffff");
        assertThat(view.calls)
                .containsExactly("zeroes 4096 1099511627776", "trim 0 35184372088832", "cache 0 4294967296");
    }

    @Test
    void thereIsNoWayBackToStructuredRepliesNorToTheOldWayIn() throws IOException {
        RawClient client = extended(new MemoryView(1 << 20));
        client.send(RawClient.OPTION + "00000008 00000000");
        assertThat(client.takeOptionReplies()).startsWith("8000000a");
        client.send(RawClient.OPTION + "00000001 00000004 6469736b");
        client.expectClosed();
    }

    @Test
    void aCompactRequestOrAPayloadBeyondTheLimitClosesTheConnection() throws IOException {
        RawClient compact = onDisk(new MemoryView(1 << 20));
        compact.request(0, Nbd.CMD_FLUSH, 1, 0, 0);
        compact.send("00000000");
        compact.expectClosed();
        RawClient greedy = onDisk(new MemoryView(1 << 20));
        greedy.send(REQUEST + "0020 0001 0000000000000001 0000000000000000 0000000002000001");
        greedy.expectClosed();
    }
}
