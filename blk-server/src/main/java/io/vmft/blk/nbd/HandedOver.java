package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.netty.channel.ChannelHandlerContext;
import io.vmft.blk.nbd.RequestExecutor.Fault;
import io.vmft.proto.nbd.NbdRequest;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Executor;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One connection's requests, and pieces of them, that other threads carry out, until the event loop takes them back. Confined to the
 * event loop, but for {@link Job#run}.
 */
final class HandedOver {
    private final RequestExecutor requests;
    private final Consumer<ChannelHandlerContext> drain;

    /** Jobs done, not yet taken back. */
    private final Queue<Job> done = new ConcurrentLinkedQueue<>();

    private final AtomicBoolean drainScheduled = new AtomicBoolean();

    private int count;
    private long bytes;

    /**
     * Nothing is handed over yet.
     *
     * @param drain run on the event loop when jobs are done; takes them back with {@link #takeBack}
     */
    HandedOver(RequestExecutor requests, Consumer<ChannelHandlerContext> drain) {
        this.requests = requests;
        this.drain = drain;
    }

    /** A request, or a piece of one, on its way through another thread. */
    final class Job implements Runnable {
        private final ChannelHandlerContext ctx;
        private final NbdRequest request;
        private final @Nullable SplitRequest split;
        private final @Nullable CallPace pace;
        private final ByteBuf reply;
        private final int payloadBytes;
        private @Nullable Fault fault;
        private long nanos;

        Job(
                ChannelHandlerContext ctx,
                NbdRequest request,
                @Nullable SplitRequest split,
                @Nullable CallPace pace,
                ByteBuf reply) {
            this.ctx = ctx;
            this.request = request;
            this.split = split;
            this.pace = pace;
            this.reply = reply;
            this.payloadBytes = requests.payloadBytes(request);
        }

        @Override
        public void run() {
            long start = System.nanoTime();
            fault = split == null
                    ? requests.execute(request, reply)
                    : requests.perform(request, split.request(), false, reply);
            nanos = System.nanoTime() - start;
            done.add(this);
            if (drainScheduled.compareAndSet(false, true)) {
                try {
                    ctx.executor().execute(() -> {
                        drainScheduled.set(false);
                        drain.accept(ctx);
                    });
                } catch (RejectedExecutionException e) {
                    // The server has closed, and with it this connection: nobody waits for a reply.
                    drainScheduled.set(false);
                    for (Job job = done.poll(); job != null; job = done.poll()) {
                        job.reply.release();
                    }
                }
            }
        }

        /** What it appended; whoever took the job back owns it. */
        ByteBuf reply() {
            return reply;
        }

        @Nullable
        SplitRequest split() {
            return split;
        }

        @Nullable
        Fault fault() {
            return fault;
        }
    }

    /** Gives a request, or a piece of one, to another thread, with what it owns. */
    void begin(
            ChannelHandlerContext ctx,
            NbdRequest request,
            @Nullable SplitRequest split,
            @Nullable CallPace pace,
            Executor executor) {
        ByteBuf reply;
        try {
            reply = ctx.alloc().directBuffer(requests.replyBytes(request));
        } catch (OutOfMemoryError e) {
            RequestExecutor.release(request);
            throw e;
        }
        Job job = new Job(ctx, request, split, pace, reply);
        count++;
        bytes += job.payloadBytes;
        if (split != null) {
            split.begun();
        }
        executor.execute(job);
    }

    /** A job that is done, its time counted; null: none is now. */
    @Nullable
    Job takeBack() {
        Job job = done.poll();
        if (job != null) {
            count--;
            bytes -= job.payloadBytes;
            if (job.pace != null) {
                job.pace.took(job.nanos, job.payloadBytes);
            }
        }
        return job;
    }

    /** Jobs that were not taken back. */
    int count() {
        return count;
    }

    /** The payload of those. */
    long bytes() {
        return bytes;
    }
}
