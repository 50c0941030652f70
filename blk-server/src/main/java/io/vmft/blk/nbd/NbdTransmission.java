package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInboundHandlerAdapter;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One connection's transmission phase. Confined to its event loop, but for {@link Job}.
 *
 * <p><b>Where storage is called.</b> Reads and plain writes run on the event loop as long as they are fast ({@link CallPace}), on
 * the I/O threads otherwise; whatever syncs, trims or zeroes runs on other threads always. Several requests of a connection may
 * thus run at once and be answered in any order, as NBD allows. A reply is encoded after its call has returned, so a write
 * that was answered had been done.
 *
 * <p><b>Limits.</b> While too many requests are with other threads, or the client does not take its replies, nothing more is decoded
 * and the socket is not read. Replies are gathered and sent when a read of the socket is worked off, or earlier when
 * they have become many.
 */
final class NbdTransmission extends ChannelInboundHandlerAdapter {
    /** What the server tells its connections, as a user event. */
    enum Event {
        /** Take no more requests, answer those taken, close. */
        LEAVE
    }

    /** What one gathered buffer holds; as large as the allocator's threads cache. */
    private static final int GATHER_BYTES = 32 << 10;
    /** After so many bytes moved the client gets its replies although more requests are there. */
    private static final int FLUSH_AFTER_BYTES = 128 << 10;

    private final RequestExecutor requests;
    private final ViewLease lease;
    private final NbdServerDecoder decoder;
    private final NbdLimits limits;
    private final StorageThreads threads;
    private final CallPace readPace = new CallPace();
    private final CallPace writePace = new CallPace();

    /** Jobs done on other threads, not yet answered. */
    private final Queue<Job> done = new ConcurrentLinkedQueue<>();

    private final AtomicBoolean drainScheduled = new AtomicBoolean();

    private @Nullable ByteBuf gathered;
    private int movedBytes;
    private int inFlight;
    private long inFlightBytes;
    private boolean paused;
    /** No more requests are taken; when the last one is answered, the connection closes. */
    private boolean leaving;

    private boolean closed;

    NbdTransmission(
            RequestExecutor requests,
            ViewLease lease,
            NbdServerDecoder decoder,
            NbdLimits limits,
            StorageThreads threads) {
        this.requests = requests;
        this.lease = lease;
        this.decoder = decoder;
        this.limits = limits;
        this.threads = threads;
    }

    /** A request on its way through another thread. */
    private final class Job implements Runnable {
        private final ChannelHandlerContext ctx;
        private final NbdRequest request;
        private final ByteBuf reply;
        private final int bytes;
        private RequestExecutor.Outcome outcome = RequestExecutor.Outcome.DROPPED;
        private long nanos;

        Job(ChannelHandlerContext ctx, NbdRequest request) {
            this.ctx = ctx;
            this.request = request;
            this.bytes = payloadBytes(request);
            this.reply = ctx.alloc().directBuffer(RequestExecutor.replyBytes(request));
        }

        @Override
        public void run() {
            long start = System.nanoTime();
            outcome = requests.execute(request, reply);
            nanos = System.nanoTime() - start;
            done.add(this);
            if (drainScheduled.compareAndSet(false, true)) {
                try {
                    ctx.executor().execute(() -> drain(ctx));
                } catch (RejectedExecutionException e) {
                    // The server has closed, and with it this connection: nobody waits for a reply.
                    done.forEach(job -> job.reply.release());
                }
            }
        }
    }

    private static int payloadBytes(NbdRequest request) {
        return switch (request) {
            case NbdRequest.Read read -> read.lengthBytes();
            case NbdRequest.Write write -> write.data().readableBytes();
            case NbdRequest.Flush _,
                    NbdRequest.Trim _,
                    NbdRequest.WriteZeroes _,
                    NbdRequest.Cache _,
                    NbdRequest.Disconnect _,
                    NbdRequest.Refused _ -> 0;
        };
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        switch ((NbdRequest) message) {
            case NbdRequest.Read read -> runOrHandOver(ctx, read, readPace);
            case NbdRequest.Write write when !write.fua() -> runOrHandOver(ctx, write, writePace);
            case NbdRequest.Write write -> handOver(ctx, write, threads.flush());
            case NbdRequest.Flush flush -> handOver(ctx, flush, threads.flush());
            case NbdRequest.Trim trim -> handOver(ctx, trim, trim.fua() ? threads.flush() : threads.io());
            case NbdRequest.WriteZeroes zeroes -> handOver(ctx, zeroes, zeroes.fua() ? threads.flush() : threads.io());
            case NbdRequest.Cache cache -> run(ctx, cache);
            case NbdRequest.Refused refused -> run(ctx, refused);
            case NbdRequest.Disconnect _ -> leaving = true;
        }
        throttle(ctx);
    }

    private void runOrHandOver(ChannelHandlerContext ctx, NbdRequest request, CallPace pace) {
        if (pace.isFast()) {
            int bytes = payloadBytes(request);
            pace.took(run(ctx, request), bytes);
        } else {
            handOver(ctx, request, threads.io());
        }
    }

    /** Runs a request here and now. Returns how long storage took, in nanoseconds. */
    private long run(ChannelHandlerContext ctx, NbdRequest request) {
        movedBytes += payloadBytes(request);
        ByteBuf out = room(ctx, RequestExecutor.replyBytes(request));
        long start = System.nanoTime();
        RequestExecutor.Outcome outcome = requests.execute(request, out);
        long nanos = System.nanoTime() - start;
        if (outcome == RequestExecutor.Outcome.FENCED) {
            leaving = true;
        }
        if (movedBytes >= FLUSH_AFTER_BYTES) {
            flush(ctx);
        }
        return nanos;
    }

    private ByteBuf room(ChannelHandlerContext ctx, int bytes) {
        if (gathered != null && gathered.writableBytes() < bytes) {
            write(ctx);
        }
        if (gathered == null) {
            gathered = ctx.alloc().directBuffer(Math.max(bytes, GATHER_BYTES));
        }
        return gathered;
    }

    private void write(ChannelHandlerContext ctx) {
        ByteBuf out = gathered;
        gathered = null;
        if (out == null) {
            return;
        }
        if (out.isReadable()) {
            var _ = ctx.write(out, ctx.voidPromise());
        } else {
            out.release();
        }
    }

    private void flush(ChannelHandlerContext ctx) {
        write(ctx);
        movedBytes = 0;
        ctx.flush();
    }

    private void handOver(ChannelHandlerContext ctx, NbdRequest request, ExecutorService executor) {
        Job job = new Job(ctx, request);
        inFlight++;
        inFlightBytes += job.bytes;
        executor.execute(job);
    }

    private void drain(ChannelHandlerContext ctx) {
        drainScheduled.set(false);
        for (Job job = done.poll(); job != null; job = done.poll()) {
            finish(ctx, job);
        }
        if (closed) {
            return;
        }
        flush(ctx);
        throttle(ctx);
        closeIfLeft(ctx);
    }

    private void finish(ChannelHandlerContext ctx, Job job) {
        inFlight--;
        inFlightBytes -= job.bytes;
        if (closed) {
            job.reply.release();
            return;
        }
        switch (job.request) {
            case NbdRequest.Read _ -> readPace.took(job.nanos, job.bytes);
            case NbdRequest.Write write when !write.fua() -> writePace.took(job.nanos, job.bytes);
            default -> {}
        }
        switch (job.outcome) {
            case ANSWERED -> write(ctx, job.reply);
            case FENCED -> {
                write(ctx, job.reply);
                leaving = true;
            }
            case DROPPED -> job.reply.release();
        }
    }

    private void write(ChannelHandlerContext ctx, ByteBuf reply) {
        write(ctx);
        var _ = ctx.write(reply, ctx.voidPromise());
    }

    /** Stops or resumes taking requests, as the limits say. */
    private void throttle(ChannelHandlerContext ctx) {
        if (closed) {
            return;
        }
        boolean full = leaving
                || inFlight >= limits.inFlightRequests()
                || inFlightBytes >= limits.inFlightBytes()
                || !ctx.channel().isWritable();
        if (full && !paused) {
            paused = true;
            decoder.pause();
            ctx.channel().config().setAutoRead(false);
        } else if (!full && paused) {
            paused = false;
            ctx.channel().config().setAutoRead(true);
            decoder.resume();
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        // Not from inside the write that changed it.
        ctx.executor().execute(() -> throttle(ctx));
        ctx.fireChannelWritabilityChanged();
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        flush(ctx);
        closeIfLeft(ctx);
    }

    @Override
    public void userEventTriggered(ChannelHandlerContext ctx, Object event) {
        if (event == Event.LEAVE) {
            leaving = true;
            throttle(ctx);
            closeIfLeft(ctx);
        } else {
            ctx.fireUserEventTriggered(event);
        }
    }

    private void closeIfLeft(ChannelHandlerContext ctx) {
        if (leaving && inFlight == 0 && !closed) {
            flush(ctx);
            decoder.end();
            var _ = ctx.close();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        closed = true;
        if (gathered != null) {
            gathered.release();
            gathered = null;
        }
        if (lease.end()) {
            threads.io().execute(lease::close);
        }
    }
}
