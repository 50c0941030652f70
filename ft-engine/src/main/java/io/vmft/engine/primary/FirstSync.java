package io.vmft.engine.primary;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.replication.Link;
import io.vmft.engine.vm.GuestRam;
import io.vmft.kvm.DirtyBitmap;
import io.vmft.kvm.Tracker;
import io.vmft.proto.checkpoint.Frame;
import io.vmft.proto.checkpoint.FrameType;
import io.vmft.proto.checkpoint.PagesPayload;
import java.io.IOException;
import java.time.Duration;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * Brings a new backup's memory close to the running VM's: all of it once, then what was dirtied meanwhile, in rounds, until what is left
 * is no more than a normal pause copies, or a round brings nothing any more. The VM runs on. What is left dirty is the first
 * checkpoint's.
 *
 * <p>Blocks; runs on a thread of its own.
 */
final class FirstSync {
    /**
     * How far it is.
     *
     * @param round 0 for the first, which goes through all of memory
     * @param dirtyPages found dirty when the round began
     * @param donePages of {@code allPages} that this round goes through
     */
    record Progress(int round, long sentPages, long dirtyPages, long donePages, long allPages) {
        boolean endsRound() {
            return donePages == allPages;
        }

        String inWords() {
            return String.format(
                    Locale.ROOT,
                    "round %d, %d %% of %d MiB looked through, %d MiB sent%s",
                    round,
                    allPages == 0 ? 100 : 100 * donePages / allPages,
                    allPages >> 8,
                    sentPages >> 8,
                    round == 0 ? "" : ", " + dirtyPages + " pages were dirtied in the round before");
        }
    }

    private static final int FRAME_PAGES = 256;
    private static final int FRAME_BYTES = Frame.PAGES_PREFIX_BYTES + FRAME_PAGES * (8 + Frame.PAGE_BYTES);
    /** Frames copied and not yet taken by the connection. */
    private static final int MAX_UNSENT_FRAMES = 16;

    private static final int MAX_ROUNDS = 30;
    /** A remainder of 8 MiB is copied within a pause. */
    private static final long SMALL_REMAINDER_PAGES = 2048;

    private static final long REPORT_PAGES = 16384;

    private final GuestRam ram;
    private final Tracker tracker;
    private final Link link;
    private final Pace pace;
    private final long epochNanos;
    private final Consumer<Progress> progress;
    private final Semaphore unsent = new Semaphore(MAX_UNSENT_FRAMES);
    private final long[] indexes = new long[FRAME_PAGES];
    private int gathered;
    private long sentPages;
    private volatile @Nullable Throwable sendFailure;

    /**
     * Makes a first sync that has not begun.
     *
     * @param epoch how long the guest will run between checkpoints
     */
    FirstSync(GuestRam ram, Tracker tracker, Link link, Pace pace, Duration epoch, Consumer<Progress> progress) {
        this.pace = pace;
        this.epochNanos = epoch.toNanos();
        this.ram = ram;
        this.tracker = tracker;
        this.link = link;
        this.progress = progress;
    }

    /** Returns when the rest may be left to the first checkpoint. */
    void run() throws IOException, InterruptedException {
        // From here on the tracker knows what is written after a page was read below.
        DirtyBitmap touched = get(tracker.harvestLiveForAll());
        long began = System.nanoTime();
        long nextReport = 0;
        for (long page = touched.nextDirty(0); page < touched.pages(); page = touched.nextDirty(page + 1)) {
            if (page >= nextReport) {
                progress.accept(new Progress(0, sentPages, 0, page, ram.pages()));
                nextReport = page + REPORT_PAGES;
            }
            // The backup's RAM starts as zeroes; what it has beside, as its own QEMU made it.
            if (page >= ram.ramPages() || !ram.isZero(page)) {
                gather(page);
            }
        }
        flush();
        long last = ram.pages();
        for (int round = 1; round <= MAX_ROUNDS; round++) {
            DirtyBitmap dirty = get(tracker.harvestLive());
            long nanos = Math.max(1, System.nanoTime() - began);
            began += nanos;
            for (long page = dirty.nextDirty(0); page < dirty.pages(); page = dirty.nextDirty(page + 1)) {
                gather(page);
            }
            flush();
            progress.accept(new Progress(round, sentPages, dirty.dirtyPages(), dirty.dirtyPages(), dirty.dirtyPages()));
            // At this rate so many pages will be dirty in each pause.
            double usual = (double) dirty.dirtyPages() * epochNanos / nanos;
            boolean small = dirty.dirtyPages() <= Math.max(SMALL_REMAINDER_PAGES, usual);
            boolean stuck = round > 2 && dirty.dirtyPages() > last / 10 * 9;
            if (small || stuck) {
                break;
            }
            last = dirty.dirtyPages();
        }
        unsent.acquire(MAX_UNSENT_FRAMES);
        checkSending();
    }

    private static DirtyBitmap get(Future<DirtyBitmap> harvest) throws IOException, InterruptedException {
        try {
            return harvest.get();
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
        TimeUnit.NANOSECONDS.sleep(pace.waitNanos((long) gathered * Frame.PAGE_BYTES));
        unsent.acquire();
        checkSending();
        ByteBuf payload = link.buffer(FRAME_BYTES);
        int stored = 0;
        for (int i = 0; i < gathered; i++) {
            if (ram.isZero(indexes[i])) {
                indexes[i] |= PagesPayload.ZERO_PAGE;
            } else {
                stored++;
            }
        }
        payload.writeInt(gathered).writeInt(stored);
        for (int i = 0; i < gathered; i++) {
            payload.writeLongLE(indexes[i]);
        }
        for (int i = 0; i < gathered; i++) {
            if (indexes[i] >= 0) {
                ram.copyPage(indexes[i], payload);
            }
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
