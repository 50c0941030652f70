package io.vmft.engine.primary;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.replication.Link;
import io.vmft.engine.vm.GuestRam;
import io.vmft.kvm.DirtyBitmap;
import io.vmft.kvm.Tracker;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import java.io.IOException;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Semaphore;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Brings a new backup's RAM close to the running VM's: all of it once, then what was dirtied meanwhile, in rounds, until what is left fits a
 * normal pause or a round brings nothing any more. The VM runs on. What is left dirty is the first checkpoint's.
 *
 * <p>Blocks; runs on a thread of its own.
 */
final class FirstSync {
    /**
     * How far it is.
     *
     * @param round 0 for the first, which goes through all of RAM
     */
    record Progress(int round, long sentPages, long dirtyPages) {}

    private static final int FRAME_PAGES = 256;
    private static final int FRAME_BYTES = Frame.PAGES_PREFIX_BYTES + FRAME_PAGES * (8 + Frame.PAGE_BYTES);
    /** Frames copied and not yet taken by the connection. */
    private static final int MAX_UNSENT_FRAMES = 16;

    private static final int MAX_ROUNDS = 30;
    /** A remainder of 8 MiB is copied within a pause. */
    private static final long SMALL_REMAINDER_PAGES = 2048;

    private final GuestRam ram;
    private final Tracker tracker;
    private final Link link;
    private final Consumer<Progress> progress;
    private final Semaphore unsent = new Semaphore(MAX_UNSENT_FRAMES);
    private final long[] indexes = new long[FRAME_PAGES];
    private int gathered;
    private long sentPages;
    private volatile @Nullable Throwable sendFailure;

    FirstSync(GuestRam ram, Tracker tracker, Link link, Consumer<Progress> progress) {
        this.ram = ram;
        this.tracker = tracker;
        this.link = link;
        this.progress = progress;
    }

    /** Returns when the rest may be left to the first checkpoint. */
    void run() throws IOException, InterruptedException {
        // From here on the tracker knows what is written after a page was read below.
        harvest();
        for (long page = 0; page < ram.pages(); page++) {
            // The backup's RAM starts as zeroes.
            if (!ram.isZero(page)) {
                gather(page);
            }
        }
        flush();
        long last = ram.pages();
        for (int round = 1; round <= MAX_ROUNDS; round++) {
            DirtyBitmap dirty = harvest();
            progress.accept(new Progress(round, sentPages, dirty.dirtyPages()));
            for (long page = dirty.nextDirty(0); page < dirty.pages(); page = dirty.nextDirty(page + 1)) {
                gather(page);
            }
            flush();
            boolean small = dirty.dirtyPages() <= SMALL_REMAINDER_PAGES;
            boolean stuck = round > 2 && dirty.dirtyPages() > last / 10 * 9;
            if (small || stuck) {
                break;
            }
            last = dirty.dirtyPages();
        }
        unsent.acquire(MAX_UNSENT_FRAMES);
        checkSending();
    }

    private DirtyBitmap harvest() throws IOException, InterruptedException {
        try {
            return tracker.harvestLive().get();
        } catch (ExecutionException e) {
            throw new IOException(
                    "cannot find the guest's dirty pages: "
                            + Objects.requireNonNullElse(e.getCause(), e).getMessage(),
                    e);
        }
    }

    private void gather(long page) throws IOException, InterruptedException {
        indexes[gathered++] = page;
        if (gathered == FRAME_PAGES) {
            flush();
        }
    }

    private void flush() throws IOException, InterruptedException {
        if (gathered == 0) {
            return;
        }
        unsent.acquire();
        checkSending();
        ByteBuf payload = link.buffer(FRAME_BYTES);
        payload.writeInt(gathered).writeInt(0);
        for (int i = 0; i < gathered; i++) {
            payload.writeLongLE(indexes[i]);
        }
        for (int i = 0; i < gathered; i++) {
            ram.copyPage(indexes[i], payload);
        }
        link.send(new Frame(FrameType.SYNC_PAGES, 0, payload)).addListener(sent -> {
            if (!sent.isSuccess()) {
                sendFailure = sent.cause();
            }
            unsent.release();
        });
        sentPages += gathered;
        gathered = 0;
    }

    private void checkSending() throws IOException {
        Throwable failure = sendFailure;
        if (failure != null) {
            throw new IOException("the backup's connection broke: " + failure.getMessage(), failure);
        }
    }
}
