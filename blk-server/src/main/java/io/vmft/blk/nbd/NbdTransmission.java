package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.channel.FileRegion;
import io.netty.handler.ssl.SslHandler;
import io.vmft.blk.file.Pipe;
import io.vmft.blk.nbd.RequestExecutor.Fault;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.util.List;
import java.util.Objects;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * One connection's transmission phase. Confined to its event loop, but for {@link Job}.
 *
 * <p><b>Where storage is called.</b> Reads and plain writes run on the event loop as long as they are fast ({@link CallPace}), on
 * the I/O threads otherwise; long writes go through a {@link Lane}, past this process's memory where they can
 * ({@link SplicedPayload}), and the data of long reads is sent by the kernel from the
 * image's file where that holds it ({@link #sendFromFile}). Whatever syncs, trims, zeroes, reads ahead or asks for extents runs on
 * other threads always. Small writes of a turn go to a journal together ({@link GatheredWrites}). Several requests of a connection may
 * thus run at once and be answered in any order, as NBD allows. A reply is encoded after its call has returned, so a write
 * that was answered had been done.
 *
 * <p><b>Limits.</b> Long requests are carried out in pieces ({@link SplitRequest}), so that they need no more memory than short ones.
 * While too many calls are with other threads, or the client does not take its replies, nothing more is decoded and the
 * socket is not read.
 */
final class NbdTransmission extends ChannelDuplexHandler implements SplicedPayload.Sink {
    /** From here on a copy costs more than what sending from a file costs beside it. */
    private static final int SEND_FILE_BYTES = 64 << 10;
    /** From here on a write is worth a hand-over: it is stored while what follows it is received. */
    private static final int LANE_BYTES = 64 << 10;

    private static final int PIECE_BYTES = NbdServerDecoder.PIECE_BYTES;

    /** What the server tells its connections, as a user event. */
    enum Event {
        /** Take no more requests, answer those taken, close. */
        LEAVE
    }

    private final RequestExecutor requests;
    private final ViewLease lease;
    private final NbdServerDecoder decoder;
    private final NbdLimits limits;
    private final MemoryShare memory;
    private final StorageThreads threads;
    private final Pipes pipes;
    private final Replies replies = new Replies();
    private final CallPace readPace = new CallPace();
    private final CallPace writePace = new CallPace();
    private final Lane lane;
    private final GatheredWrites gathered = new GatheredWrites();

    /** Null: the channel alone reads the socket. */
    private @Nullable SplicedPayload spliced;

    /** Jobs done on other threads, not yet answered. */
    private final Queue<Job> done = new ConcurrentLinkedQueue<>();

    private final AtomicBoolean drainScheduled = new AtomicBoolean();

    /** The write whose pieces are arriving. */
    private @Nullable SplitRequest openWrite;
    /** The read whose pieces are being begun, as limits allow. While there is one nothing more is decoded. */
    private @Nullable SplitRequest openRead;

    private long openReadOffset;
    private int openReadBytes;

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
            MemoryShare memory,
            StorageThreads threads,
            Pipes pipes) {
        this.requests = requests;
        this.lease = lease;
        this.decoder = decoder;
        this.limits = limits;
        this.memory = memory;
        this.threads = threads;
        this.pipes = pipes;
        this.lane = new Lane(threads.io());
    }

    /** A request, or a piece of one, on its way through another thread. */
    private final class Job implements Runnable {
        private final ChannelHandlerContext ctx;
        private final NbdRequest request;
        private final @Nullable SplitRequest split;
        private final @Nullable CallPace pace;
        private final @Nullable Pipe piped;
        private final ByteBuf reply;
        private final Executor executor;
        private final int bytes;
        private @Nullable Fault fault;
        private long nanos;

        Job(
                ChannelHandlerContext ctx,
                NbdRequest request,
                @Nullable SplitRequest split,
                @Nullable CallPace pace,
                @Nullable Pipe piped,
                ByteBuf reply,
                Executor executor) {
            this.ctx = ctx;
            this.request = request;
            this.split = split;
            this.pace = pace;
            this.piped = piped;
            this.reply = reply;
            this.executor = executor;
            this.bytes = piped == null ? requests.payloadBytes(request) : piped.lengthBytes();
        }

        /** Whether another piece that is surely done later will wake the event loop for this one, too. */
        private boolean mayWait() {
            return split != null
                    && executor == lane
                    && request instanceof NbdRequest.Write write
                    && write.remainingBytes() > 0
                    && !lane.isLastTask();
        }

        @Override
        public void run() {
            long start = System.nanoTime();
            if (piped != null) {
                fault = requests.storePiped(request.offset(), piped);
                pipes.giveBack(piped);
            } else {
                fault = split == null
                        ? requests.execute(request, reply)
                        : requests.perform(request, split.request(), false, reply);
            }
            nanos = System.nanoTime() - start;
            done.add(this);
            if (mayWait()) {
                return;
            }
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

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        spliced = SplicedPayload.of(ctx, decoder, pipes, this);
        if (spliced != null) {
            decoder.announceLongWrites(LANE_BYTES);
        }
    }

    @Override
    public void channelRead(ChannelHandlerContext ctx, Object message) {
        if (message instanceof NbdRequest.Write write && mayGather(write)) {
            gathered.add(write);
            if (gathered.isFull()) {
                writeGathered(ctx);
            }
            return;
        }
        writeGathered(ctx);
        switch ((NbdRequest) message) {
            case NbdRequest.Read read -> read(ctx, read);
            case NbdRequest.Write write -> write(ctx, write);
            case NbdRequest.Flush flush -> flush(ctx, flush);
            case NbdRequest.Trim trim -> handOver(ctx, trim, null, null, trim.fua() ? threads.flush() : threads.io());
            case NbdRequest.WriteZeroes zeroes ->
                handOver(ctx, zeroes, null, null, zeroes.fua() ? threads.flush() : threads.io());
            case NbdRequest.Cache cache -> handOver(ctx, cache, null, null, threads.io());
            case NbdRequest.BlockStatus status -> handOver(ctx, status, null, null, threads.io());
            case NbdRequest.Refused refused -> run(ctx, refused, null, null);
            case NbdRequest.Disconnect _ -> leaving = true;
        }
        throttle(ctx);
    }

    private void flush(ChannelHandlerContext ctx, NbdRequest.Flush flush) {
        if (requests.flushesAtOnce()) {
            run(ctx, flush, null, null);
        } else {
            handOver(ctx, flush, null, null, threads.flush());
        }
    }

    private void read(ChannelHandlerContext ctx, NbdRequest.Read read) {
        if (sendFromFile(ctx, read)) {
            return;
        }
        if (read.lengthBytes() <= PIECE_BYTES || !requests.mayFragment(read)) {
            runOrHandOver(ctx, read, null, readPace);
            return;
        }
        openRead = new SplitRequest(read, false);
        openReadOffset = read.offset();
        openReadBytes = read.lengthBytes();
        continueRead(ctx);
    }

    /**
     * Lets the kernel send a long read's data from the page cache, if it lies there in one file. What is sent may then have been
     * changed by a write that came before the client had its answer: as NBD allows for requests that overlap in time.
     */
    private boolean sendFromFile(ChannelHandlerContext ctx, NbdRequest.Read read) {
        if (read.lengthBytes() < SEND_FILE_BYTES
                || !readPace.isFast()
                || ctx.pipeline().get(SslHandler.class) != null) {
            return false;
        }
        FileRegion region = requests.region(read);
        if (region == null) {
            return false;
        }
        requests.dataHeader(read, replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
        inFlight++;
        ChannelFuture sent = replies.send(ctx, region);
        long start = System.nanoTime();
        replies.flush(ctx);
        readPace.took(System.nanoTime() - start, read.lengthBytes());
        var _ = sent.addListener(_ -> regionSent(ctx, sent.cause()));
        return true;
    }

    /** A part of a file cannot be given up half sent: if that fails the connection ends, and the next one's reads are copied. */
    private void regionSent(ChannelHandlerContext ctx, @Nullable Throwable failure) {
        inFlight--;
        if (failure != null && !StorageErrors.isOfSocket(failure)) {
            requests.regionFailed(failure);
            var _ = ctx.close();
        }
        if (!closed) {
            throttle(ctx);
            closeIfLeft(ctx);
        }
    }

    /** Begins as many pieces of the open read as limits allow. */
    private void continueRead(ChannelHandlerContext ctx) {
        for (SplitRequest split = openRead; split != null && !isFull(ctx); split = openRead) {
            int bytes = Math.min(openReadBytes, PIECE_BYTES);
            NbdRequest piece = new NbdRequest.Read(split.request().cookie(), openReadOffset, bytes, false);
            openReadOffset += bytes;
            openReadBytes -= bytes;
            runOrHandOver(ctx, piece, split, readPace);
            if (openReadBytes == 0 || split.fault() != null) {
                openRead = null;
                split.wholeBegun();
                answerIfDone(ctx, split);
            }
        }
    }

    private void write(ChannelHandlerContext ctx, NbdRequest.Write write) {
        if (spliced != null) {
            if (!write.data().isReadable() && write.remainingBytes() > 0) {
                takePiped(spliced, write);
                return;
            }
            spliced.readByChannel();
        }
        SplitRequest split = openWrite;
        if (split == null && write.remainingBytes() == 0) {
            if (write.fua() && !requests.flushesAtOnce()) {
                handOver(ctx, write, null, null, threads.flush());
            } else {
                runOrHandOver(ctx, write, null, writePace);
            }
            return;
        }
        if (split == null) {
            split = new SplitRequest(write, write.fua());
            openWrite = split;
        }
        if (split.fault() == null) {
            NbdRequest piece =
                    new NbdRequest.Write(write.cookie(), write.offset(), write.data(), false, write.remainingBytes());
            runOrHandOver(ctx, piece, split, writePace);
        } else {
            write.data().release();
        }
        endWrite(ctx, write, split);
    }

    /** Has the rest of a write, which was announced, come in pipes if that can be. */
    private void takePiped(SplicedPayload way, NbdRequest.Write announced) {
        if (!wantsPiped() || !requests.takesPiped(announced)) {
            return;
        }
        if (openWrite == null) {
            openWrite = new SplitRequest(announced, announced.fua());
        }
        way.begin(announced);
    }

    /** A write that failed is drained by the channel. */
    @Override
    public boolean wantsPiped() {
        return openWrite == null || openWrite.fault() == null;
    }

    @Override
    public void piped(ChannelHandlerContext ctx, NbdRequest.Write piece, Pipe data) {
        SplitRequest split = Objects.requireNonNull(openWrite);
        if (closed || split.fault() != null) {
            pipes.giveBack(data);
        } else {
            handOver(ctx, piece, data, split, writePace, writePace.isFast() ? lane : threads.io());
        }
        endWrite(ctx, piece, split);
        throttle(ctx);
    }

    @Override
    public void pipedAll(ChannelHandlerContext ctx) {
        if (!closed) {
            replies.flush(ctx);
            closeIfLeft(ctx);
        }
    }

    private void endWrite(ChannelHandlerContext ctx, NbdRequest.Write piece, SplitRequest split) {
        if (piece.remainingBytes() == 0) {
            openWrite = null;
            split.wholeBegun();
            answerIfDone(ctx, split);
        }
    }

    private boolean mayGather(NbdRequest.Write write) {
        return openWrite == null
                && write.remainingBytes() == 0
                && !write.fua()
                && write.data().readableBytes() < LANE_BYTES
                && writePace.isFast()
                && requests.gathersWrites();
    }

    /** Carries out what was gathered; what cannot be done together is done alone, and answers for itself. */
    private void writeGathered(ChannelHandlerContext ctx) {
        if (gathered.isEmpty()) {
            return;
        }
        int bytes = gathered.bytes();
        List<NbdRequest.Write> writes = gathered.take();
        long start = System.nanoTime();
        int done = writes.size() == 1 ? 0 : requests.writeTogether(writes);
        if (done > 0) {
            writePace.took(System.nanoTime() - start, bytes);
        }
        for (NbdRequest.Write write : writes.subList(0, done)) {
            write.data().release();
            requests.answer(write, null, replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
        }
        for (NbdRequest.Write write : writes.subList(done, writes.size())) {
            runOrHandOver(ctx, write, null, writePace);
        }
        replies.moved(ctx, bytes);
        throttle(ctx);
    }

    private void runOrHandOver(
            ChannelHandlerContext ctx, NbdRequest request, @Nullable SplitRequest split, CallPace pace) {
        if (!pace.isFast()) {
            handOver(ctx, request, split, pace, threads.io());
        } else if (request instanceof NbdRequest.Write write && write.data().readableBytes() >= LANE_BYTES) {
            handOver(ctx, request, split, pace, lane);
        } else {
            run(ctx, request, split, pace);
        }
    }

    /** Carries out a request, or a piece of one, here and now. */
    private void run(
            ChannelHandlerContext ctx, NbdRequest request, @Nullable SplitRequest split, @Nullable CallPace pace) {
        int bytes = requests.payloadBytes(request);
        ByteBuf out;
        try {
            out = replies.room(ctx, requests.replyBytes(request));
        } catch (OutOfMemoryError e) {
            RequestExecutor.release(request);
            throw e;
        }
        long start = System.nanoTime();
        Fault fault =
                split == null ? requests.execute(request, out) : requests.perform(request, split.request(), false, out);
        if (pace != null) {
            pace.took(System.nanoTime() - start, bytes);
        }
        if (split != null) {
            split.failed(fault);
        }
        leaveIfFenced(fault);
        replies.moved(ctx, bytes);
    }

    private void handOver(
            ChannelHandlerContext ctx,
            NbdRequest request,
            @Nullable SplitRequest split,
            @Nullable CallPace pace,
            Executor executor) {
        handOver(ctx, request, null, split, pace, executor);
    }

    private void handOver(
            ChannelHandlerContext ctx,
            NbdRequest request,
            @Nullable Pipe piped,
            @Nullable SplitRequest split,
            @Nullable CallPace pace,
            Executor executor) {
        ByteBuf reply;
        try {
            reply = ctx.alloc().directBuffer(requests.replyBytes(request));
        } catch (OutOfMemoryError e) {
            RequestExecutor.release(request);
            if (piped != null) {
                pipes.giveBack(piped);
            }
            throw e;
        }
        Job job = new Job(ctx, request, split, pace, piped, reply, executor);
        inFlight++;
        inFlightBytes += job.bytes;
        if (split != null) {
            split.begun();
        }
        executor.execute(job);
    }

    private void drain(ChannelHandlerContext ctx) {
        drainScheduled.set(false);
        for (Job job = done.poll(); job != null; job = done.poll()) {
            if (closed) {
                job.reply.release();
            } else {
                finish(ctx, job);
            }
        }
        if (!closed) {
            replies.flush(ctx);
            throttle(ctx);
            closeIfLeft(ctx);
        }
    }

    private void finish(ChannelHandlerContext ctx, Job job) {
        inFlight--;
        inFlightBytes -= job.bytes;
        if (job.pace != null) {
            job.pace.took(job.nanos, job.bytes);
        }
        replies.send(ctx, job.reply);
        leaveIfFenced(job.fault);
        if (job.split != null) {
            job.split.ended(job.fault);
            answerIfDone(ctx, job.split);
        }
    }

    /** Answers a split request when its last piece is done, and made safe if it has to be. */
    private void answerIfDone(ChannelHandlerContext ctx, SplitRequest split) {
        if (!split.isDone()) {
            return;
        }
        if (split.takeSync()) {
            handOver(ctx, new NbdRequest.Flush(split.request().cookie()), split, null, threads.flush());
            return;
        }
        requests.answer(split.request(), split.fault(), replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
    }

    private void leaveIfFenced(@Nullable Fault fault) {
        if (fault != null && fault.fenced()) {
            leaving = true;
        }
    }

    private boolean isFull(ChannelHandlerContext ctx) {
        return inFlight >= limits.inFlightRequests()
                || (inFlightBytes > 0 && inFlightBytes >= memory.inFlightBytes())
                || !ctx.channel().isWritable();
    }

    /** Stops or resumes taking requests, as the limits say. */
    private void throttle(ChannelHandlerContext ctx) {
        if (closed) {
            return;
        }
        continueRead(ctx);
        boolean full = leaving || openRead != null || isFull(ctx);
        if (full && !paused) {
            paused = true;
            decoder.pause();
            ctx.channel().config().setAutoRead(false);
            if (spliced != null) {
                spliced.pause();
            }
        } else if (!full && paused) {
            paused = false;
            if (spliced == null || !spliced.isUnderWay()) {
                ctx.channel().config().setAutoRead(true);
            }
            decoder.resume();
            if (spliced != null && !paused) {
                spliced.resume();
            }
        }
    }

    @Override
    public void channelWritabilityChanged(ChannelHandlerContext ctx) {
        // Not from inside the write that changed it.
        ctx.executor().execute(() -> {
            if (!closed) {
                throttle(ctx);
                replies.flush(ctx);
                closeIfLeft(ctx);
            }
        });
        ctx.fireChannelWritabilityChanged();
    }

    @Override
    public void channelReadComplete(ChannelHandlerContext ctx) {
        writeGathered(ctx);
        replies.flush(ctx);
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
        if (leaving && inFlight == 0 && openRead == null && !closed) {
            replies.flush(ctx);
            decoder.end();
            var _ = ctx.close();
        }
    }

    @Override
    public void channelInactive(ChannelHandlerContext ctx) {
        closed = true;
        gathered.take().forEach(RequestExecutor::release);
        replies.release();
        endLease();
    }

    /** Before the client can see its connection end, no call of it begins any more. */
    @Override
    public void close(ChannelHandlerContext ctx, ChannelPromise promise) {
        if (spliced != null) {
            spliced.close();
        }
        endLease();
        var _ = ctx.close(promise);
    }

    private void endLease() {
        if (lease.end()) {
            threads.io().execute(lease::close);
        }
    }
}
