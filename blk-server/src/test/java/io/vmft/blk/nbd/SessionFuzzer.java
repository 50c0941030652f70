package io.vmft.blk.nbd;

import com.sun.management.ThreadMXBean;
import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.vmft.blk.export.ClientIdentity;
import io.vmft.blk.export.ExportRefusedException;
import io.vmft.blk.export.ExportRefusedException.Reason;
import io.vmft.blk.export.ExportView;
import io.vmft.blk.export.Exports;
import io.vmft.blk.export.ViewOwner;
import io.vmft.proto.nbd.NbdProtocolException;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.lang.management.ManagementFactory;
import java.nio.channels.ClosedChannelException;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One session of the server, bytes in and no sockets: what a coverage-guided fuzzer calls. The real handlers stand over a volume in memory;
 * {@link FuzzReference} judges what they say.
 *
 * <pre>
 *  input  mode:8 split:8 bytes from the client
 *  mode   1: storage is called later   2: newest call first   4: read-only   8: some places fail
 *         16: the connection is cut at the end, whatever is under way
 *  split  how the bytes are cut into what single reads of the socket return; 0: not at all
 * </pre>
 */
public final class SessionFuzzer {
    private static final int LATER = 1;
    private static final int NEWEST_FIRST = 2;
    private static final int READ_ONLY = 4;
    private static final int FAILING = 8;
    private static final int CUT = 16;
    private static final int CONTROL_BYTES = 2;

    /** Buffers of a session: what may be in flight, what waits to be decoded, and a read's answer. */
    private static final long MAX_BUFFER_BYTES = 4 << 20;
    /** Objects made in a session, kept or not. */
    private static final long MAX_HEAP_BYTES = 16 << 20;

    private static final long MAX_HEAP_BYTES_PER_BYTE = 4 << 10;

    private static final CutLog CUT_LOG = new CutLog();
    private static final ThreadMXBean THREADS = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    /** More than any session needs: one that needs more does not end. */
    private static final int MAX_TURNS = 1 << 20;

    private final byte[] input;
    private final int mode;
    private final FuzzView view;
    private final FuzzReference reference;
    private final FuzzThreads threads;
    private final FuzzChannel channel;
    private @Nullable Throwable defect;
    private int turns;

    private SessionFuzzer(byte[] input) {
        this.input = input;
        this.mode = input[0];
        this.view = new FuzzView(is(READ_ONLY), is(FAILING));
        this.reference = new FuzzReference(input, CONTROL_BYTES, is(READ_ONLY), is(FAILING));
        this.threads = new FuzzThreads(
                !is(LATER)
                        ? FuzzThreads.Order.AT_ONCE
                        : is(NEWEST_FIRST) ? FuzzThreads.Order.NEWEST_FIRST : FuzzThreads.Order.OLDEST_FIRST);
        this.channel = new FuzzChannel(reference::take, MAX_BUFFER_BYTES);
    }

    private boolean is(int flag) {
        return (mode & flag) != 0;
    }

    /** What the fuzzer calls. */
    public static void fuzzerTestOneInput(byte[] input) throws Exception {
        // What loads classes may cost more, once.
        if (input.length >= CONTROL_BYTES && isCostly(input) && isCostly(input)) {
            throw new AssertionError("too many objects for " + input.length + " bytes of input");
        }
    }

    private static boolean isCostly(byte[] input) throws Exception {
        long before = THREADS.getCurrentThreadAllocatedBytes();
        new SessionFuzzer(input).run();
        long madeBytes = THREADS.getCurrentThreadAllocatedBytes() - before;
        return madeBytes > MAX_HEAP_BYTES + MAX_HEAP_BYTES_PER_BYTE * input.length;
    }

    /** Takes an input; how many requests of it were answered. */
    static int requestsOf(byte[] input) throws Exception {
        if (input.length < CONTROL_BYTES) {
            return 0;
        }
        SessionFuzzer session = new SessionFuzzer(input);
        session.run();
        return session.reference.answers();
    }

    private void run() throws Exception {
        NbdServerDecoder decoder = new NbdServerDecoder();
        NbdLimits limits = NbdLimits.DEFAULT;
        channel.pipeline()
                .addLast(decoder)
                .addLast(new NbdHandshake(
                        new OneVolume(),
                        limits,
                        new MemoryShare(limits),
                        new StorageThreads(threads, threads, threads),
                        null,
                        decoder,
                        CUT_LOG))
                .addLast(new Judge())
                .addLast(new ConnectionGuard(CUT_LOG));
        channel.register();
        feed();
        if (!is(CUT)) {
            settle();
            boolean open = channel.isOpen();
            reference.end(open);
            if (!is(LATER) && reference.transmits()) {
                if (!Arrays.equals(view.bytes, reference.model)) {
                    throw new AssertionError(
                            "the volume differs from byte " + Arrays.mismatch(view.bytes, reference.model));
                }
                reference.checkReads();
            }
        }
        channel.close();
        settle();
        check(!reference.transmits() || view.isClosed(), "the view is not closed");
        check(channel.usedBytes() == 0, channel.usedBytes() + " bytes of buffers are not released");
    }

    private void feed() throws Exception {
        int split = Byte.toUnsignedInt(input[1]);
        int chunkBytes = split == 0 ? input.length : split;
        for (int at = CONTROL_BYTES; at < input.length && channel.isOpen(); at += chunkBytes) {
            ByteBuf chunk = channel.alloc().directBuffer();
            chunk.writeBytes(input, at, Math.min(chunkBytes, input.length - at));
            channel.pipeline().fireChannelRead(chunk);
            channel.pipeline().fireChannelReadComplete();
            turn();
            while (channel.isOpen() && !channel.config().isAutoRead() && threads.runOne()) {
                turn();
            }
            check(!channel.isOpen() || channel.config().isAutoRead(), "nothing is under way and nothing is read");
        }
    }

    /** Lets everything that is under way end. */
    private void settle() throws Exception {
        do {
            turn();
        } while (threads.runOne());
        turn();
    }

    private void turn() throws Exception {
        check(++turns < MAX_TURNS, "no end");
        channel.runPendingTasks();
        channel.checkException();
        if (defect != null) {
            throw new AssertionError("a defect", defect);
        }
    }

    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    /** Only breaking the protocol may go wrong, and replies that were not sent when the connection ended for that. */
    private final class Judge extends ChannelInboundHandlerAdapter {
        @Override
        public void exceptionCaught(ChannelHandlerContext ctx, Throwable cause) {
            if (!(cause instanceof NbdProtocolException || cause instanceof ClosedChannelException)) {
                defect = cause;
            }
            ctx.fireExceptionCaught(cause);
        }
    }

    private final class OneVolume implements Exports {
        @Override
        public List<String> names(ClientIdentity client) {
            return List.of("disk", "held");
        }

        @Override
        public ExportView open(String exportName, ClientIdentity client, ViewOwner owner)
                throws ExportRefusedException {
            check(!owner.isGone(), "a connection that is there has gone");
            ExportView looked = look(exportName, client);
            looked.close();
            return view;
        }

        @Override
        public ExportView look(String exportName, ClientIdentity client) throws ExportRefusedException {
            return switch (exportName) {
                case "disk", "" -> new FuzzView(is(READ_ONLY), is(FAILING));
                case "held" -> throw new ExportRefusedException(Reason.POLICY, "held is held by vm1@7");
                case "closing" -> throw new ExportRefusedException(Reason.SHUTDOWN, "the server closes");
                default -> throw new ExportRefusedException(Reason.UNKNOWN, "there is no volume of that name");
            };
        }
    }
}
