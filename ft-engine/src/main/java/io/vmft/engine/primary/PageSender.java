package io.vmft.engine.primary;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.config.Copying;
import io.vmft.engine.replication.Link;
import io.vmft.engine.replication.PagePacker;
import io.vmft.kvm.Chunk;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.PagesPayload;
import java.time.Duration;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.IntConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Sends what makes up checkpoints, in order: as it is, or, while the link is too slow for that, with its pages compressed on a thread of
 * its own. On the engine's loop only.
 *
 * <p>A chunk's slot goes back to the library when its pages have left this host, compressed or not: so the staging file bounds what waits.
 */
final class PageSender implements AutoCloseable {
    /**
     * What was sent since the session began.
     *
     * @param dirtyBytes of dirty pages
     * @param sentBytes what these became
     */
    record Totals(long dirtyBytes, long sentBytes, boolean compressing) {}

    private static final Logger log = LoggerFactory.getLogger(PageSender.class);

    private final String vm;
    private final Link link;
    private final IntConsumer release;
    private final LinkPressure pressure;
    private final long cacheBytes;
    private final ExecutorService packing;
    /** The packing thread's; made when first used. */
    private @Nullable PagePacker packer;
    /** What still waits for the packing thread is for nobody. */
    private volatile boolean closed;

    /** Frames handed to the packing thread that have not left yet: what comes after must not overtake them. */
    private int behind;

    private boolean compressingEpoch;
    private boolean epochBegun;
    private long epochBeganNanos;
    private long epochBytes;
    private long dirtyBytes;
    private long sentBytes;

    /**
     * Makes a sender for one session.
     *
     * @param release takes a slot that is free again, on any thread
     */
    PageSender(String vm, Link link, Copying copying, Duration epoch, IntConsumer release) {
        this.vm = vm;
        this.link = link;
        this.release = release;
        this.pressure = new LinkPressure(copying.compression(), epoch);
        this.cacheBytes = copying.cacheBytes();
        this.packing = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().name(vm + "-pack").daemon().factory());
    }

    /** Sends a chunk's pages. */
    void pages(Chunk chunk) {
        if (!epochBegun) {
            epochBegun = true;
            epochBeganNanos = System.nanoTime();
            epochBytes = 0;
            if (compressingEpoch != pressure.compressing()) {
                compressingEpoch = pressure.compressing();
                log.info(
                        "{}: {} pages from epoch {} on",
                        vm,
                        compressingEpoch ? "compressing" : "not compressing",
                        chunk.epoch());
                forgetInTurn();
            }
        }
        dirtyBytes += (long) chunk.pageCount() * Frame.PAGE_BYTES;
        epochBytes += (long) chunk.storedCount() * Frame.PAGE_BYTES;
        if (compressingEpoch) {
            inTurn(() -> pack(chunk), () -> release.accept(chunk.slot()));
        } else {
            ByteBuf payload =
                    PagesPayload.join(chunk.pageCount(), chunk.storedCount(), chunk.pageIndexes(), chunk.pages());
            sentBytes += payload.readableBytes();
            send(new Frame(FrameType.PAGES, chunk.epoch(), payload), () -> release.accept(chunk.slot()));
        }
    }

    /** Sends a frame after all that came before. */
    void send(Frame frame) {
        send(frame, () -> {});
    }

    /** The guest is about to stand still: what comes from here on comes as fast as it can, so it tells how fast the link is. */
    void pauseBegins() {
        epochBeganNanos = System.nanoTime();
        epochBytes = 0;
    }

    /** The checkpoint is void: the backup will drop what it got of it. */
    void abort(long epoch) {
        epochBegun = false;
        if (compressingEpoch) {
            forgetInTurn();
        }
        send(Frame.empty(FrameType.ABORT, epoch));
    }

    /**
     * Sends the frame that ends a checkpoint, and learns from how long it takes.
     *
     * @param sent run on the loop when it has left this host, or cannot
     */
    void end(Frame frame, Runnable sent) {
        long handedOver = System.nanoTime();
        long began = epochBegun ? epochBeganNanos : handedOver;
        long bytes = epochBegun ? epochBytes : 0;
        epochBegun = false;
        send(frame, () -> {
            long left = System.nanoTime();
            pressure.sent(left - handedOver, bytes * 1e9 / Math.max(1, left - began));
            sent.run();
        });
    }

    /**
     * Whether the next epoch's pages will be compressed. Of what comes twice in an epoch the second is then sent whole: it is related to what
     * came with an earlier one.
     */
    boolean isCompressing() {
        return pressure.compressing();
    }

    Totals totals() {
        return new Totals(dirtyBytes, sentBytes, compressingEpoch);
    }

    private void send(Frame frame, Runnable sent) {
        if (behind == 0) {
            link.send(frame).addListener(done -> sent.run());
        } else {
            inTurn(() -> new Packed(frame, sent), frame::release);
        }
    }

    private record Packed(Frame frame, Runnable sent) {}

    /**
     * @param work makes what is to be sent, if anything, on the packing thread
     * @param drop instead of that, on the same thread, when the session has ended before its turn came
     */
    private void inTurn(Supplier<@Nullable Packed> work, Runnable drop) {
        behind++;
        packing.execute(() -> {
            if (closed) {
                drop.run();
                return;
            }
            try {
                Packed packed = work.get();
                // On the loop, in the order of this thread.
                if (!link.execute(() -> packed(packed)) && packed != null) {
                    packed.frame().release();
                }
            } catch (RuntimeException | Error e) {
                log.error("{}: pages cannot be compressed, the backup is given up", vm, e);
                drop.run();
                link.execute(() -> link.close("pages cannot be compressed: " + e));
            }
        });
    }

    private void packed(@Nullable Packed packed) {
        behind--;
        if (packed != null) {
            link.send(packed.frame()).addListener(done -> packed.sent().run());
        }
    }

    private Packed pack(Chunk chunk) {
        PagePacker current = packer;
        if (current == null) {
            current = new PagePacker(cacheBytes);
            packer = current;
        }
        ByteBuf payload = link.buffer(PagePacker.maxBytes(chunk.pageCount(), chunk.storedCount()));
        try {
            current.pack(chunk.epoch(), chunk.pageCount(), chunk.pageIndexes(), chunk.pages(), payload);
        } catch (RuntimeException | Error e) {
            payload.release();
            throw e;
        }
        long bytes = payload.readableBytes();
        return new Packed(new Frame(FrameType.PACKED_PAGES, chunk.epoch(), payload), () -> {
            sentBytes += bytes;
            release.accept(chunk.slot());
        });
    }

    private void forgetInTurn() {
        inTurn(
                () -> {
                    if (packer != null) {
                        packer.forget();
                    }
                    return null;
                },
                () -> {});
    }

    /** Nothing more is packed or sent: the slots of what waits go back at once. */
    @Override
    public void close() {
        closed = true;
        packing.shutdown();
    }
}
