package io.vmft.kvm;

/**
 * The pages of guest RAM that a live harvest found dirty: one bit a page, by offset in the guest RAM file. Immutable.
 */
public final class DirtyBitmap {
    private final long[] words;
    private final long pages;
    private final long dirtyPages;

    /**
     * @param words bit {@code i % 64} of word {@code i / 64} stands for page {@code i}; the array becomes this object's own
     * @param pages bits in use; those beyond must be clear
     */
    DirtyBitmap(long[] words, long pages) {
        if (words.length != wordsFor(pages)) {
            throw new IllegalArgumentException(words.length + " words for " + pages + " pages");
        }
        if (pages % Long.SIZE != 0 && words[words.length - 1] >>> pages != 0) {
            throw new IllegalArgumentException("bits set beyond page " + pages);
        }
        this.words = words;
        this.pages = pages;
        long dirty = 0;
        for (long word : words) {
            dirty += Long.bitCount(word);
        }
        this.dirtyPages = dirty;
    }

    static int wordsFor(long pages) {
        return Math.toIntExact((pages + Long.SIZE - 1) / Long.SIZE);
    }

    /** Pages described, dirty or not. */
    public long pages() {
        return pages;
    }

    /** Pages that are dirty. */
    public long dirtyPages() {
        return dirtyPages;
    }

    /** Whether a page is dirty. */
    public boolean isDirty(long page) {
        if (page < 0 || page >= pages) {
            throw new IndexOutOfBoundsException("page " + page + " of " + pages);
        }
        return (words[(int) (page / Long.SIZE)] >>> page & 1) != 0;
    }

    /** The first dirty page at or after {@code from}, or {@link #pages()} if there is none. */
    public long nextDirty(long from) {
        return next(from, 0);
    }

    /** The first clean page at or after {@code from}, or {@link #pages()} if there is none. */
    public long nextClean(long from) {
        return next(from, -1);
    }

    private long next(long from, long flip) {
        if (from < 0) {
            throw new IndexOutOfBoundsException("page " + from);
        }
        if (from >= pages) {
            return pages;
        }
        int index = (int) (from / Long.SIZE);
        long word = (words[index] ^ flip) & (-1L << from);
        while (word == 0) {
            if (++index == words.length) {
                return pages;
            }
            word = words[index] ^ flip;
        }
        return Math.min(pages, (long) index * Long.SIZE + Long.numberOfTrailingZeros(word));
    }
}
