package io.vmft.engine.primary;

/**
 * Decides whether copying pages before a pause is worth it. A guest that has written most of them again by then has the work, and the
 * bytes on the wire, twice. One that writes few pages has more of asking for it than of having them copied. Pure.
 */
final class PreCopies {
    /** As many pages again in the pause as this part of those copied before it are too many. */
    private static final int MAX_AGAIN_PERCENT = 50;
    /** Fewer are found and copied in the pause sooner than another thread is asked to. */
    static final int FEW_PAGES = 64;
    /** So many epochs in a row say something about the guest. */
    static final int EPOCHS_TO_TELL = 8;
    /** Then so many epochs go without, until it is tried again; with few pages until there are more. */
    static final int EPOCHS_WITHOUT = 64;

    private int inVain;
    private int without;
    private int withFew;

    /** Whether the next epoch shall have one. */
    boolean isWorthIt() {
        return without == 0 && withFew < EPOCHS_TO_TELL;
    }

    /**
     * An epoch's pages.
     *
     * @param preCopied whether there was a pre-copy
     * @param before pages copied before its pause
     * @param inPause pages copied in it
     */
    void harvested(boolean preCopied, long before, long inPause) {
        withFew = before + inPause < FEW_PAGES ? Math.min(withFew + 1, EPOCHS_TO_TELL) : 0;
        if (without > 0) {
            without--;
            return;
        }
        boolean again = preCopied && inPause > FEW_PAGES && inPause * 100 > before * MAX_AGAIN_PERCENT;
        inVain = again ? inVain + 1 : 0;
        if (inVain == EPOCHS_TO_TELL) {
            inVain = 0;
            without = EPOCHS_WITHOUT;
        }
    }
}
