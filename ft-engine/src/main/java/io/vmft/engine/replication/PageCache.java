package io.vmft.engine.replication;

import java.util.Arrays;

/**
 * What pages held when they were sent last, as far as there is room: a set-associative cache, so that a look-up is a few comparisons and
 * nothing is allocated. Not thread-safe.
 */
final class PageCache {
    private static final int WAYS = 8;
    private static final int PAGE_BYTES = 4096;
    private static final long NONE = -1;

    private final int sets;
    private final long[] tags;
    /** Made when first used: a cache that is bounded by gigabytes mostly stays small. */
    private final byte[][] contents;

    /** The checkpoint with which each was sent. */
    private final long[] epochs;

    private final byte[] nextVictim;

    PageCache(long bytes) {
        sets = Math.toIntExact(Math.max(1, bytes / PAGE_BYTES / WAYS));
        tags = new long[sets * WAYS];
        contents = new byte[sets * WAYS][];
        epochs = new long[sets * WAYS];
        nextVictim = new byte[sets];
        Arrays.fill(tags, NONE);
    }

    /** The page's content as it was sent with an earlier checkpoint than {@code epoch}, or null; stays this object's. */
    byte @org.jspecify.annotations.Nullable [] get(long page, long epoch) {
        int way = find(page);
        return way < 0 || epochs[way] == epoch ? null : contents[way];
    }

    /** Remembers a copy. */
    void put(long page, long epoch, byte[] content) {
        int way = find(page);
        if (way < 0) {
            int set = set(page);
            way = set * WAYS + nextVictim[set];
            nextVictim[set] = (byte) ((nextVictim[set] + 1) % WAYS);
            tags[way] = page;
            if (contents[way] == null) {
                contents[way] = new byte[PAGE_BYTES];
            }
        }
        epochs[way] = epoch;
        System.arraycopy(content, 0, contents[way], 0, PAGE_BYTES);
    }

    void remove(long page) {
        int way = find(page);
        if (way >= 0) {
            tags[way] = NONE;
        }
    }

    void clear() {
        Arrays.fill(tags, NONE);
    }

    private int find(long page) {
        int first = set(page) * WAYS;
        for (int way = first; way < first + WAYS; way++) {
            if (tags[way] == page) {
                return way;
            }
        }
        return -1;
    }

    /** Neighbours go to different sets, which is what runs of dirty pages need. */
    private int set(long page) {
        return (int) (page % sets);
    }
}
