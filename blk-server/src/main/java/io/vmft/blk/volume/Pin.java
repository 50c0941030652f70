package io.vmft.blk.volume;

import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.vmft.blk.changes.ChangeMap;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.overlay.Horizon;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.overlay.Piece;
import io.vmft.blk.snapshot.SavedBlocks;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.BitSet;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * A volume as it was at a point: what was saved before it changed, elsewhere the committed layers before the point, and the image
 * below. Thread-safe.
 *
 * <p>Readers read first and then look whether the block was saved meanwhile, in which case what they read may be too new: whoever changes
 * the image has saved the block before.
 */
final class Pin {
    private static final Logger LOG = LoggerFactory.getLogger(Pin.class);
    private static final int BLOCK = SavedBlocks.BLOCK_BYTES;
    private static final int WINDOW_BLOCKS = 1024;
    private static final int PIECES = 1024;

    private final Volume volume;
    private final String label;
    private final Overlay.Stand stand;
    private final @Nullable String vm;
    private final SavedBlocks saved;
    private final Horizon horizon;
    private volatile @Nullable String broken;
    /** Views of it; under the lock of {@link Pins}. */
    int views;

    Pin(Volume volume, String label, Overlay.Stand stand, @Nullable String vm, SavedBlocks saved) {
        this.volume = volume;
        this.label = label;
        this.stand = stand;
        this.vm = vm;
        this.saved = saved;
        this.horizon = Horizon.of(stand.point());
    }

    String label() {
        return label;
    }

    long point() {
        return stand.point();
    }

    long epoch() {
        return stand.epoch();
    }

    /** What of it can still be read; false for good once something could not be saved. */
    boolean isWhole() {
        return broken == null;
    }

    String description() {
        return description(volume, stand, vm);
    }

    static String description(Volume volume, Overlay.Stand stand, @Nullable String vm) {
        return volume.offer().description() + ", committed, point " + stand.point() + (vm == null ? "" : ", VM " + vm)
                + (stand.epoch() == 0 ? "" : ", epoch " + stand.epoch());
    }

    /** Before the range of the image changes. Never fails: what cannot be saved ends this, not the change. */
    void save(long offset, long lengthBytes) {
        if (broken != null) {
            return;
        }
        try {
            saved.save(offset, lengthBytes);
        } catch (IOException e) {
            broken = "the view of point " + stand.point() + " has ended: " + e.getMessage();
            LOG.warn("{}: {}", volume.name(), broken);
            discard();
        }
    }

    private void discard() {
        try {
            saved.discard();
        } catch (IOException e) {
            LOG.warn("{}: old content could not be discarded: {}", volume.name(), e.toString());
        }
    }

    void close() {
        try {
            saved.close();
        } catch (IOException e) {
            LOG.warn("{}: closing a committed view: {}", volume.name(), e.toString());
        }
    }

    private void checkWhole() throws IOException {
        volume.checkAlive();
        String why = broken;
        if (why != null) {
            throw new IOException(volume.name() + "@" + Pins.EXPORT + ": " + why);
        }
    }

    private interface Reading<T> {
        T read() throws IOException;
    }

    /** Fails if at the end, when what was read may be anything, this is not whole any more. */
    private <T> T whole(Reading<T> reading) throws IOException {
        checkWhole();
        T result;
        try {
            result = reading.read();
        } catch (IOException e) {
            checkWhole();
            throw e;
        }
        checkWhole();
        return result;
    }

    void read(long offset, MemorySegment destination) throws IOException {
        whole(() -> {
            long end = offset + destination.byteSize();
            for (long at = offset; at < end; ) {
                long until = sameUntil(at, end);
                MemorySegment part = destination.asSlice(at - offset, until - at);
                if (saved.isSaved(at / BLOCK)) {
                    saved.read(at, part);
                } else {
                    volume.reader().read(at, part, horizon);
                    readSaved(at, part);
                }
                at = until;
            }
            return true;
        });
    }

    /** Replaces what was saved by now. */
    private void readSaved(long start, MemorySegment part) throws IOException {
        long end = start + part.byteSize();
        for (long at = start; at < end; at = blockEnd(at, end)) {
            if (saved.isSaved(at / BLOCK)) {
                saved.read(at, part.asSlice(at - start, blockEnd(at, end) - at));
            }
        }
    }

    private static long blockEnd(long at, long end) {
        return Math.min(end, (at / BLOCK + 1) * BLOCK);
    }

    /** How far the blocks are saved, or not saved, as the one at {@code at} is. Blocks may become saved meanwhile. */
    private long sameUntil(long at, long end) {
        boolean first = saved.isSaved(at / BLOCK);
        long until = blockEnd(at, end);
        while (until < end && saved.isSaved(until / BLOCK) == first) {
            until = blockEnd(until, end);
        }
        return until;
    }

    void readAhead(long offset, long lengthBytes) {
        volume.reader().readAhead(offset, lengthBytes, horizon);
    }

    List<BlockStatus> allocation(long offset, long lengthBytes, int limit) throws IOException {
        return whole(() -> {
            StatusList list = new StatusList(offset, lengthBytes, limit);
            while (!list.isDone()) {
                long at = list.at();
                if (saved.isSaved(at / BLOCK)) {
                    boolean zero = saved.isZero(at / BLOCK);
                    list.addUntil(blockEnd(at, list.end()), zero ? BlockStatus.HOLE | BlockStatus.ZERO : 0);
                } else {
                    fillUnsaved(list);
                }
            }
            return list.finish();
        });
    }

    /** One window of blocks none of which is saved, afterwards either; or a single block as data, which is never wrong. */
    private void fillUnsaved(StatusList list) throws IOException {
        long at = list.at();
        long until = sameUntil(at, Math.min(list.end(), at + (long) WINDOW_BLOCKS * BLOCK));
        StatusList window = new StatusList(at, until - at, Integer.MAX_VALUE);
        volume.allocation().fill(window, until, horizon);
        List<BlockStatus> found = window.finish();
        if (saved.isSaved(at / BLOCK)) {
            return;
        }
        long stillUntil = sameUntil(at, until);
        long position = at;
        for (BlockStatus extent : found) {
            position = Math.min(position + extent.lengthBytes(), stillUntil);
            list.addUntil(position, extent.flags());
        }
    }

    /**
     * Which blocks may differ from what they were at {@code since}: flag 1. All of them if that is not known, or later than this.
     */
    List<BlockStatus> changes(long since, long offset, long lengthBytes, int limit) throws IOException {
        return whole(() -> {
            ChangeMap map = volume.pins().changes();
            StatusList list = new StatusList(offset, lengthBytes, limit);
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment marks = arena.allocate(JAVA_LONG, WINDOW_BLOCKS);
                MemorySegment savedMarks = arena.allocate(JAVA_LONG, WINDOW_BLOCKS);
                while (since <= point() && map.knows(since) && !list.isDone()) {
                    fillChanges(list, since, marks, savedMarks);
                }
            }
            if (since > point() || !map.knows(since)) {
                return List.of(new BlockStatus(lengthBytes, BlockStatus.DIRTY));
            }
            return list.finish();
        });
    }

    // In this order: what is folded meanwhile is either found in the overlay or in the marks, and what is saved
    // meanwhile has
    // its mark saved with it.
    private void fillChanges(StatusList list, long since, MemorySegment marks, MemorySegment savedMarks)
            throws IOException {
        long first = list.at() / BLOCK;
        long until = Math.min(list.end(), (first + WINDOW_BLOCKS) * BLOCK);
        int count = (int) (SavedBlocks.blocks(until) - first);
        BitSet dirty = new BitSet(count);
        addJournaled(dirty, first, until, since);
        volume.pins().changes().read(first, marks.asSlice(0, count * 8L));
        BitSet isSaved = new BitSet(count);
        for (int i = 0; i < count; i++) {
            isSaved.set(i, saved.isSaved(first + i));
        }
        if (!isSaved.isEmpty()) {
            saved.readMarks(first, savedMarks.asSlice(0, count * 8L));
        }
        for (int i = 0; i < count && !list.isDone(); i++) {
            long mark = (isSaved.get(i) ? savedMarks : marks).getAtIndex(JAVA_LONG, i);
            list.addUntil((first + i + 1) * BLOCK, dirty.get(i) || mark >= since ? BlockStatus.DIRTY : 0);
        }
    }

    private void addJournaled(BitSet dirty, long firstBlock, long until, long since) {
        Horizon changed = new Horizon(false, since, stand.point());
        for (long at = firstBlock * BLOCK; at < until && !volume.overlay().isEmpty(); ) {
            List<Piece> pieces = volume.overlay().resolve(at, until, changed, PIECES);
            Overlay.release(pieces);
            for (Piece piece : pieces) {
                if (piece.record() != null) {
                    dirty.set((int) (piece.start() / BLOCK - firstBlock), (int)
                            (SavedBlocks.blocks(piece.end()) - firstBlock));
                }
            }
            at = pieces.getLast().end();
        }
    }
}
