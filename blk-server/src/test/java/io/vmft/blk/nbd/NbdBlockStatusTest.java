package io.vmft.blk.nbd;

import static org.assertj.core.api.Assertions.assertThat;

import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import io.vmft.proto.nbd.Nbd;
import java.io.IOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Metadata contexts, block status, and the hints FAST_ZERO and CACHE, against literal bytes. */
@Timeout(60)
class NbdBlockStatusTest {
    private static final String REPLY = "0003e889045565a9";
    private static final String CHUNK = "668e33ef";
    private static final long STRIPE = 64 << 10;
    private static final long SIZE = 16 * STRIPE;

    private final List<AutoCloseable> open = new ArrayList<>();

    @AfterEach
    void closeAll() throws Exception {
        for (AutoCloseable resource : open.reversed()) {
            resource.close();
        }
    }

    private RawClient connect(ExportView view, NbdLimits limits) throws IOException {
        NbdServer server = NbdServer.start(new OneExport(view), List.of(new ListenAddress.Tcp("127.0.0.1", 0)), limits);
        open.add(server);
        RawClient client = new RawClient(server.addresses().getFirst());
        open.add(client);
        client.greet("00000003");
        return client;
    }

    private RawClient structured(ExportView view) throws IOException {
        return structured(view, NbdLimits.DEFAULT);
    }

    private RawClient structured(ExportView view, NbdLimits limits) throws IOException {
        RawClient client = connect(view, limits);
        client.send(RawClient.OPTION + "00000008 00000000");
        client.expect(REPLY + "00000008 00000001 00000000");
        return client;
    }

    /** In the transmission phase, with contexts 1 and, if wanted, 2. */
    private RawClient onDisk(ExportView view, NbdLimits limits, String... contexts) throws IOException {
        RawClient client = structured(view, limits);
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", contexts);
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        client.go("disk");
        assertThat(client.takeOptionReplies()).isEqualTo("00000001");
        return client;
    }

    @Test
    void listsWhatAQueryFinds() throws IOException {
        RawClient client = structured(new StripedView(SIZE, STRIPE));
        client.metaContexts(Nbd.OPT_LIST_META_CONTEXT, "disk");
        client.expect(REPLY + "00000009 00000004 00000013 00000000 626173653a616c6c6f636174696f6e");
        client.expect(REPLY + "00000009 00000004 00000010 00000000 782d746573743a77686f6c65");
        client.expect(REPLY + "00000009 00000001 00000000");
        client.metaContexts(Nbd.OPT_LIST_META_CONTEXT, "disk", "base:", "base:allocation", "base:x", "y:", "", ":");
        client.expect(REPLY + "00000009 00000004 00000013 00000000 626173653a616c6c6f636174696f6e");
        client.expect(REPLY + "00000009 00000001 00000000");
        client.metaContexts(Nbd.OPT_LIST_META_CONTEXT, "nothing");
        assertThat(client.takeOptionReplies()).isEqualTo("80000006 no such volume");
    }

    @Test
    void choosingGivesNumbersAndAWildcardChoosesNothing() throws IOException {
        RawClient client = structured(new StripedView(SIZE, STRIPE));
        client.metaContexts(
                Nbd.OPT_SET_META_CONTEXT, "disk", StripedView.WHOLE, "base:", "y:z", "base:allocation", "x-test:whole");
        client.expect(REPLY + "0000000a 00000004 00000010 00000001 782d746573743a77686f6c65");
        client.expect(REPLY + "0000000a 00000004 00000013 00000002 626173653a616c6c6f636174696f6e");
        client.expect(REPLY + "0000000a 00000001 00000000");
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk");
        client.expect(REPLY + "0000000a 00000001 00000000");
    }

    @Test
    void withoutStructuredRepliesThereAreNoContexts() throws IOException {
        RawClient client = connect(new StripedView(SIZE, STRIPE), NbdLimits.DEFAULT);
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation");
        assertThat(client.takeOptionReplies()).startsWith("80000003");
        client.metaContexts(Nbd.OPT_LIST_META_CONTEXT, "disk");
        assertThat(client.takeOptionReplies()).startsWith("80000003");
        client.go("disk");
        client.takeOptionReplies();
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
        client.expect("67446698 00000016 0000000000000001");
    }

    @Test
    void whatWasChosenForAnotherExportOrReplacedByAFailureIsForgotten() throws IOException {
        for (String last : List.of("other", "malformed")) {
            RawClient client = structured(new StripedView(SIZE, STRIPE));
            client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation");
            assertThat(client.takeOptionReplies()).isEqualTo("00000001");
            if (last.equals("other")) {
                client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "nothing", "base:allocation");
                assertThat(client.takeOptionReplies()).startsWith("80000006");
            } else {
                client.send(RawClient.OPTION + "0000000a 00000001 00");
                assertThat(client.takeOptionReplies()).startsWith("80000003");
            }
            client.go("disk");
            client.takeOptionReplies();
            client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
            assertThat(client.takeError(1)).startsWith("22 no metadata context");
        }
    }

    @Test
    void contextsAlsoHoldAfterTheOldWayToChooseAnExport() throws IOException {
        RawClient client = structured(new StripedView(SIZE, STRIPE));
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", "base:allocation");
        client.takeOptionReplies();
        client.send(RawClient.OPTION + "00000001 00000004 6469736b");
        client.expect("0000000000100000 0ded");
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
        client.expect(CHUNK + "0001 0005 0000000000000001 0000000c 00000001 00010000 00000003");
    }

    @Test
    void everyContextAnswersInAChunkOfItsOwn() throws IOException {
        RawClient client =
                onDisk(new StripedView(SIZE, STRIPE), NbdLimits.DEFAULT, BlockStatus.ALLOCATION, StripedView.WHOLE);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 7, STRIPE / 2, 2 * STRIPE);
        client.expect(CHUNK + "0000 0005 0000000000000007 0000001c 00000001"
                + "00008000 00000003 00010000 00000000 00010000 00000003");
        client.expect(CHUNK + "0001 0005 0000000000000007 0000000c 00000002 000f8000 ffffffff");
    }

    @Test
    void oneExtentIsNotLongerThanTheRequest() throws IOException {
        RawClient client =
                onDisk(new StripedView(SIZE, STRIPE), NbdLimits.DEFAULT, BlockStatus.ALLOCATION, StripedView.WHOLE);
        client.request(Nbd.CMD_FLAG_REQ_ONE, Nbd.CMD_BLOCK_STATUS, 7, STRIPE, 512);
        client.expect(CHUNK + "0000 0005 0000000000000007 0000000c 00000001 00000200 00000000");
        client.expect(CHUNK + "0001 0005 0000000000000007 0000000c 00000002 00000200 ffffffff");
    }

    @Test
    void extentsAreLimitedOverAllContexts() throws IOException {
        NbdLimits four = new NbdLimits(100, Duration.ofSeconds(10), 64, 128, 2 << 20, 4, 1, 1);
        RawClient client = onDisk(new StripedView(SIZE, STRIPE), four, BlockStatus.ALLOCATION, StripedView.WHOLE);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 7, 0, SIZE);
        client.expect(CHUNK + "0000 0005 0000000000000007 00000014 00000001 00010000 00000003 00010000 00000000");
        client.expect(CHUNK + "0001 0005 0000000000000007 0000000c 00000002 00100000 ffffffff");
    }

    @Test
    void anExtentBeyond32BitsIsCutWhereNoExtendedHeadersAre() throws IOException {
        RawClient client = onDisk(
                new StripedView(1L << 40, 1L << 39), NbdLimits.DEFAULT, BlockStatus.ALLOCATION, StripedView.WHOLE);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 7, 4096, 0xffff_ffffL);
        client.expect(CHUNK + "0000 0005 0000000000000007 0000000c 00000001 fffff000 00000003");
        client.expect(CHUNK + "0001 0005 0000000000000007 0000000c 00000002 fffff000 ffffffff");
    }

    @Test
    void whatIsPastTheEndOrEmptyHasNoStatus() throws IOException {
        RawClient client = onDisk(new StripedView(SIZE, STRIPE), NbdLimits.DEFAULT, BlockStatus.ALLOCATION);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, SIZE - 1, 2);
        assertThat(client.takeError(1)).isEqualTo("22 the request goes past the end");
        client.request(0, Nbd.CMD_BLOCK_STATUS, 2, 0, 0);
        assertThat(client.takeError(2)).isEqualTo("22 the status of nothing");
        client.request(Nbd.CMD_FLAG_DF, Nbd.CMD_BLOCK_STATUS, 3, 0, 1);
        assertThat(client.takeError(3)).startsWith("22 flags 0x4");
    }

    @Test
    void aStatusThatStorageCannotTellIsAnErrorAndTheConnectionGoesOn() throws IOException {
        ExportView view = new StripedView(SIZE, STRIPE) {
            @Override
            public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit)
                    throws IOException {
                if (context.equals(WHOLE)) {
                    throw new IOException("the disk is on fire");
                }
                return super.blockStatus(context, offset, lengthBytes, limit);
            }
        };
        RawClient client = onDisk(view, NbdLimits.DEFAULT, BlockStatus.ALLOCATION, StripedView.WHOLE);
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
        assertThat(client.takeError(1)).isEqualTo("5 the disk is on fire");
        client.request(0, Nbd.CMD_FLUSH, 2, 0, 0);
        client.expectSuccess(2);
    }

    @Test
    void tooManyContextsAreRefused() throws IOException {
        ExportView view = new StripedView(SIZE, STRIPE) {
            @Override
            public List<String> contexts(String query, boolean list) {
                return List.of(query);
            }
        };
        RawClient client = structured(view);
        String[] queries = new String[17];
        for (int i = 0; i < queries.length; i++) {
            queries[i] = "x:" + i;
        }
        client.metaContexts(Nbd.OPT_SET_META_CONTEXT, "disk", queries);
        assertThat(client.takeOptionReplies()).isEqualTo("80000009 too many metadata contexts");
        client.go("disk");
        client.takeOptionReplies();
        client.request(0, Nbd.CMD_BLOCK_STATUS, 1, 0, 4096);
        assertThat(client.takeError(1)).startsWith("22 no metadata context");
    }

    @Test
    void zeroesThatWouldBeSlowFailFastAndChangeNothing() throws IOException {
        StripedView view = new StripedView(SIZE, STRIPE) {
            @Override
            public boolean zeroesFast(boolean punchHole) {
                return punchHole;
            }
        };
        RawClient client = onDisk(view, NbdLimits.DEFAULT);
        int fast = Nbd.CMD_FLAG_FAST_ZERO;
        client.request(fast | Nbd.CMD_FLAG_NO_HOLE, Nbd.CMD_WRITE_ZEROES, 1, 0, 4096);
        assertThat(client.takeError(1)).isEqualTo("95 zeroes would take as long as data");
        client.request(fast, Nbd.CMD_WRITE_ZEROES, 2, 0, 8192);
        client.expectSuccess(2);
        client.request(Nbd.CMD_FLAG_NO_HOLE, Nbd.CMD_WRITE_ZEROES, 3, 0, 512);
        client.expectSuccess(3);
        client.request(fast | Nbd.CMD_FLAG_NO_HOLE, Nbd.CMD_WRITE_ZEROES, 4, SIZE, 4096);
        assertThat(client.takeError(4)).startsWith("28 ");
        assertThat(view.calls).containsExactly("zeroes 0 8192", "zeroes 0 512");
    }

    @Test
    void aHintToCacheReachesStorage() throws IOException {
        StripedView view = new StripedView(SIZE, STRIPE);
        RawClient client = onDisk(view, NbdLimits.DEFAULT);
        client.request(Nbd.CMD_FLAG_FUA, Nbd.CMD_CACHE, 1, 4096, 8192);
        client.expectSuccess(1);
        client.request(0, Nbd.CMD_CACHE, 2, SIZE, 1);
        assertThat(client.takeError(2)).startsWith("22 ");
        client.request(Nbd.CMD_FLAG_NO_HOLE, Nbd.CMD_CACHE, 3, 0, 1);
        assertThat(client.takeError(3)).startsWith("22 flags 0x2");
        assertThat(view.calls).containsExactly("cache 4096 8192");
    }
}
