package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelDuplexHandler;
import io.netty.channel.ChannelFuture;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelPromise;
import io.netty.channel.FileRegion;
import io.netty.handler.ssl.SslHandler;
import io.vmft.blk.nbd.HandedOver.Job;
import io.vmft.blk.nbd.RequestExecutor.Fault;
import io.vmft.proto.nbd.NbdRequest;
import io.vmft.proto.nbd.NbdServerDecoder;
import java.util.List;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * One connection's transmission phase. Confined to its event loop.
 *
 * <p><b>Where storage is called.</b> Reads and plain writes run on the event loop as long as they are fast ({@link CallPace}), on
 * the I/O threads otherwise, and a protected volume's writes where they may wait for room in the journal; the data of long reads is sent by the kernel from the
 * image's file where that holds it and it is not slower ({@link LongReadWay}). Whatever syncs, trims, zeroes, reads ahead or asks for extents runs on
 * other threads always. Small writes of a turn go to a journal together ({@link GatheredWrites}). Several requests of a connection may
 * thus run at once and be answered in any order, as NBD allows. A reply is encoded after its call has returned, so a write
 * that was answered had been done.
 *
 * <p><b>Limits.</b> Long requests are carried out in pieces ({@link SplitRequest}), so that they need no more memory than short ones.
 * While too many calls are with other threads, or the client does not take its replies, nothing more is decoded and the
 * socket is not read.
 */
final class NbdTransmission extends ChannelDuplexHandler {
    /** From here on a copy may cost more than what sending from a file costs beside it. */
    private static final int LONG_READ_BYTES = 64 << 10;
    /** Shorter writes are gathered for a journal. */
    private static final int LONG_WRITE_BYTES = 64 << 10;

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
    private final Replies replies = new Replies();
    private final CallPace readPace = CallPace.ofImage();
    private final CallPace imagePace = CallPace.ofImage();
    private final CallPace journalPace = CallPace.ofJournal();
    private final LongReadWay longReads = new LongReadWay();
    private final HandedOver handedOver;
    private final GatheredWrites gathered = new GatheredWrites();

    /** The write whose pieces are arriving. */
    private @Nullable SplitRequest openWrite;
    /** The read whose pieces are being begun, as limits allow. While there is one nothing more is decoded. */
    private @Nullable SplitRequest openRead;

    private long openReadOffset;
    private int openReadBytes;
    private boolean continuingRead;

    /** Whether the read that is carried out might go from the file, too, so that copying it is timed. */
    private boolean copyTimed;
    /** Reads whose data the kernel is sending. */
    private int sending;

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
            StorageThreads threads) {
        this.requests = requests;
        this.lease = lease;
        this.decoder = decoder;
        this.limits = limits;
        this.memory = memory;
        this.threads = threads;
        this.handedOver = new HandedOver(requests, this::drain);
    }

    @Override
    public void handlerAdded(ChannelHandlerContext ctx) {
        decoder.takeWritesIn(() -> pieceBytes(requests.journals() ? journalPace : imagePace));
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
            case NbdRequest.Trim trim -> handedOver.begin(ctx, trim, null, null, elsewhere(trim.fua()));
            case NbdRequest.WriteZeroes zeroes -> handedOver.begin(ctx, zeroes, null, null, elsewhere(zeroes.fua()));
            case NbdRequest.Cache cache -> handedOver.begin(ctx, cache, null, null, threads.io());
            case NbdRequest.BlockStatus status -> handedOver.begin(ctx, status, null, null, threads.io());
            case NbdRequest.Refused refused -> run(ctx, refused, null, null);
            case NbdRequest.Disconnect _ -> leaving = true;
        }
        throttle(ctx);
    }

    private void flush(ChannelHandlerContext ctx, NbdRequest.Flush flush) {
        if (requests.flushesAtOnce()) {
            run(ctx, flush, null, null);
        } else {
            handedOver.begin(ctx, flush, null, null, threads.flush());
        }
    }

    private void read(ChannelHandlerContext ctx, NbdRequest.Read read) {
        boolean isOnePiece = read.lengthBytes() <= pieceBytes(readPace);
        boolean isSplit = !isOnePiece && requests.mayFragment(read);
        FileRegion region = regionOf(ctx, read);
        copyTimed = region != null;
        if (region != null) {
            // What may not be split would be copied into memory whole.
            if (longReads.next() == LongReadWay.Way.SEND_FILE || !(isOnePiece || isSplit)) {
                sendFromFile(ctx, read, region);
                return;
            }
            region.release();
        }
        if (!isSplit) {
            runOrHandOver(ctx, read, null, readPace);
            return;
        }
        openRead = new SplitRequest(read, false);
        openReadOffset = read.offset();
        openReadBytes = read.lengthBytes();
        continueRead(ctx);
    }

    /** Slow storage is given many short pieces at a time. */
    private int pieceBytes(CallPace pace) {
        return pace.isFast() ? memory.pieceBytes() : NbdServerDecoder.PIECE_BYTES;
    }

    /** Where a long read's data lies in one file, if the kernel may send it from there. */
    private @Nullable FileRegion regionOf(ChannelHandlerContext ctx, NbdRequest.Read read) {
        return read.lengthBytes() < LONG_READ_BYTES
                        || !readPace.isFast()
                        || ctx.pipeline().get(SslHandler.class) != null
                ? null
                : requests.region(read);
    }

    /**
     * Lets the kernel send a read's data from the page cache. What is sent may then have been changed by a write that came before
     * the client had its answer: as NBD allows for requests that overlap in time.
     */
    private void sendFromFile(ChannelHandlerContext ctx, NbdRequest.Read read, FileRegion region) {
        requests.dataHeader(read, replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
        sending++;
        long start = System.nanoTime();
        longReads.begun(LongReadWay.Way.SEND_FILE, start);
        ChannelFuture sent = replies.send(ctx, region);
        replies.flush(ctx);
        readPace.took(System.nanoTime() - start, read.lengthBytes());
        var _ = sent.addListener(_ -> {
            longReads.sent(read.lengthBytes(), System.nanoTime());
            regionSent(ctx, sent.cause());
        });
    }

    /** A part of a file cannot be given up half sent: if that fails the connection ends, and the next one's reads are copied. */
    private void regionSent(ChannelHandlerContext ctx, @Nullable Throwable failure) {
        sending--;
        if (failure != null && !StorageErrors.isOfSocket(failure)) {
            requests.regionFailed(failure);
            var _ = ctx.close();
        }
        if (!closed) {
            throttle(ctx);
            closeIfLeft(ctx);
        }
    }

    /** Begins as many pieces of the open read as limits allow. Not from within itself, as when a reply it flushes ends another read. */
    private void continueRead(ChannelHandlerContext ctx) {
        if (continuingRead) {
            return;
        }
        continuingRead = true;
        try {
            beginPieces(ctx);
        } finally {
            continuingRead = false;
        }
    }

    private void beginPieces(ChannelHandlerContext ctx) {
        for (SplitRequest split = openRead; split != null && !isFull(ctx); split = openRead) {
            int bytes = Math.min(openReadBytes, pieceBytes(readPace));
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
        SplitRequest split = openWrite;
        if (split == null && write.remainingBytes() == 0) {
            if (write.fua() && !requests.flushesAtOnce()) {
                handedOver.begin(ctx, write, null, null, elsewhere(true));
            } else {
                writeOrHandOver(ctx, write, null);
            }
            return;
        }
        if (split == null) {
            split = new SplitRequest(write, write.fua());
            openWrite = split;
        }
        if (split.fault() == null) {
            NbdRequest.Write piece =
                    new NbdRequest.Write(write.cookie(), write.offset(), write.data(), false, write.remainingBytes());
            writeOrHandOver(ctx, piece, split);
        } else {
            write.data().release();
        }
        if (write.remainingBytes() == 0) {
            openWrite = null;
            split.wholeBegun();
            answerIfDone(ctx, split);
        }
    }

    private boolean mayGather(NbdRequest.Write write) {
        return openWrite == null
                && write.remainingBytes() == 0
                && !write.fua()
                && write.data().readableBytes() < LONG_WRITE_BYTES
                && requests.journals()
                && journalPace.isFast();
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
            journalPace.took(System.nanoTime() - start, bytes);
        }
        for (NbdRequest.Write write : writes.subList(0, done)) {
            write.data().release();
            requests.answer(write, null, replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
        }
        boolean waits = false;
        for (NbdRequest.Write write : writes.subList(done, writes.size())) {
            // What one waits for, those behind it would, too.
            waits = waits || !journal(ctx, write, null);
            if (waits) {
                handedOver.begin(ctx, write, null, null, threads.waiting());
            }
        }
        replies.moved(ctx, bytes);
        throttle(ctx);
    }

    private void writeOrHandOver(ChannelHandlerContext ctx, NbdRequest.Write write, @Nullable SplitRequest split) {
        if (!requests.journals()) {
            runOrHandOver(ctx, write, split, imagePace);
        } else if (!journalPace.isFast()) {
            handedOver.begin(ctx, write, split, journalPace, threads.waiting());
        } else if (!journal(ctx, write, split)) {
            // It may wait for others, which tells nothing of storage.
            handedOver.begin(ctx, write, split, null, threads.waiting());
        }
    }

    private void runOrHandOver(
            ChannelHandlerContext ctx, NbdRequest request, @Nullable SplitRequest split, CallPace pace) {
        if (pace.isFast()) {
            run(ctx, request, split, pace);
        } else {
            handedOver.begin(ctx, request, split, pace, threads.io());
        }
    }

    /** Where a change is carried out that is not on the event loop. */
    private Executor elsewhere(boolean fua) {
        if (requests.journals()) {
            return threads.waiting();
        }
        return fua ? threads.flush() : threads.io();
    }

    /**
     * Journals a write, or a piece of one, if that waits for nobody.
     *
     * @return false: it is still to be carried out, all of it
     */
    private boolean journal(ChannelHandlerContext ctx, NbdRequest.Write write, @Nullable SplitRequest split) {
        long start = System.nanoTime();
        RequestExecutor.AtOnce outcome = requests.writeAtOnce(write);
        Fault fault = outcome.fault();
        if (outcome.waits() || (fault == null && write.fua() && !requests.flushesAtOnce())) {
            return false;
        }
        int bytes = write.data().readableBytes();
        journalPace.took(System.nanoTime() - start, bytes);
        write.data().release();
        if (split == null) {
            requests.answer(write, fault, replies.room(ctx, RequestExecutor.PLAIN_REPLY_BYTES));
        } else {
            split.failed(fault);
        }
        leaveIfFenced(fault);
        replies.moved(ctx, bytes);
        return true;
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
        if (copyTimed && fault == null && request instanceof NbdRequest.Read) {
            timeCopy(ctx, bytes, start);
        }
        leaveIfFenced(fault);
        replies.moved(ctx, bytes);
    }

    private void timeCopy(ChannelHandlerContext ctx, int bytes, long start) {
        longReads.begun(LongReadWay.Way.COPY, start);
        var _ = replies.sendGathered(ctx).addListener(_ -> longReads.sent(bytes, System.nanoTime()));
    }

    private void drain(ChannelHandlerContext ctx) {
        for (Job job = handedOver.takeBack(); job != null; job = handedOver.takeBack()) {
            if (closed) {
                job.reply().release();
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
        replies.send(ctx, job.reply());
        leaveIfFenced(job.fault());
        SplitRequest split = job.split();
        if (split != null) {
            split.ended(job.fault());
            answerIfDone(ctx, split);
        }
    }

    /** Answers a split request when its last piece is done, and made safe if it has to be. */
    private void answerIfDone(ChannelHandlerContext ctx, SplitRequest split) {
        if (!split.isDone()) {
            return;
        }
        if (split.takeSync()) {
            handedOver.begin(ctx, new NbdRequest.Flush(split.request().cookie()), split, null, threads.flush());
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
        return handedOver.count() + sending >= limits.inFlightRequests()
                || (handedOver.bytes() > 0 && handedOver.bytes() >= memory.inFlightBytes())
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
        } else if (!full && paused) {
            paused = false;
            ctx.channel().config().setAutoRead(true);
            decoder.resume();
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
        if (leaving && handedOver.count() + sending == 0 && openRead == null && !closed) {
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
        endLease();
        var _ = ctx.close(promise);
    }

    private void endLease() {
        if (lease.end()) {
            threads.io().execute(lease::close);
        }
    }
}
