package io.vmft.blk.nbd;

import io.vmft.blk.export.ExportView;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * A connection's hold on its view. Once {@link #end ended} no call begins any more, and the view is closed when the last running
 * call has returned: so a write of a dead connection that has not begun never does. Thread-safe.
 */
final class ViewLease {
    private static final int ENDED = 1 << 31;

    private final ExportView view;
    /** Calls running now; the sign bit says that the lease has ended. */
    private final AtomicInteger running = new AtomicInteger();

    ViewLease(ExportView view) {
        this.view = view;
    }

    /** The view, for use between a successful {@link #enter} and {@link #exit}. */
    ExportView view() {
        return view;
    }

    /** Begins a call, unless the lease has ended. */
    boolean enter() {
        while (true) {
            int count = running.get();
            if (count < 0) {
                return false;
            }
            if (running.compareAndSet(count, count + 1)) {
                return true;
            }
        }
    }

    /** Ends a call; the last one of an ended lease closes the view. */
    void exit() {
        if (running.decrementAndGet() == ENDED) {
            close();
        }
    }

    /**
     * Lets no more calls begin.
     *
     * @return whether none is running: then the caller must {@link #close}
     */
    boolean end() {
        return running.getAndUpdate(count -> count | ENDED) == 0;
    }

    /** May block. */
    void close() {
        view.close();
    }
}
