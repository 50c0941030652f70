package io.vmft.engine.primary;

/**
 * Decides whether copying pages before a pause is worth it: a guest that has written most of them again by then has the work, and the
 * bytes on the wire, twice. Pure.
 */
final class PreCopies {
    /** As many pages again in the pause as this part of those copied before it are too many. */
    private static final int MAX_AGAIN_PERCENT = 50;
    /** Fewer are copied sooner than another thread is asked to. */
    private static final int FEW_PAGES = 64;
    /** Then so many epochs go without, until it is tried again. */
    static final int EPOCHS_WITHOUT = 64;

    private int without;

    /** Whether the next epoch shall have one. */
    boolean isWorthIt() {
        return without == 0;
    }

    /** An epoch's pages: those copied before its pause, and those copied in it. */
    void harvested(long before, long inPause) {
        if (without > 0) {
            without--;
        } else if (inPause > FEW_PAGES && inPause * 100 > before * MAX_AGAIN_PERCENT) {
            without = EPOCHS_WITHOUT;
        }
    }
}
