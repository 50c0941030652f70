package io.vmft.blk.applier;

import io.vmft.blk.file.WriteVector;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.RecordReader;
import io.vmft.blk.overlay.Extent;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.volume.VolumeImage;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Writes a layer into an image, every record's checksum checked. It reads the records as they lie in the journal, some hundreds at a
 * time, and writes those in volume order, neighbours together; the order of all is the page cache's. Doing it again after a
 * failure or a crash gives the same image. Not thread-safe.
 */
final class Fold {
    private static final int PLACE_BITS = 20;
    /** Extents that are put in order together. */
    private static final int MAX_WRITES = 1 << PLACE_BITS;

    private final RecordReader reader;
    /** In volume order. */
    private final List<Extent> writes = new ArrayList<>();

    private final WriteVector pieces = new WriteVector();
    private long piecesStart;
    private long piecesEnd;
    private long clearStart;
    private long clearEnd;

    Fold(Journal journal) {
        reader = new RecordReader(journal);
    }

    /** Writes and syncs. Afterwards every byte of the layer is durable in the image. */
    void fold(Layer layer, VolumeImage image) throws IOException {
        pieces.clear();
        clearStart = 0;
        clearEnd = 0;
        writes.clear();
        for (Extent extent : layer.extents()) {
            switch (extent.record().kind()) {
                case WRITE -> {
                    writes.add(extent);
                    if (writes.size() == MAX_WRITES) {
                        foldWrites(image);
                    }
                }
                case TRIM -> clear(extent, image);
                case ZERO -> image.clearAgain(extent.start(), extent.end() - extent.start(), false);
                case SEAL -> throw new IllegalStateException("a seal in a layer: " + extent);
            }
        }
        foldWrites(image);
        flushClear(image);
        image.syncRewritten();
    }

    private void foldWrites(VolumeImage image) throws IOException {
        int count = writes.size();
        long[] order = journalOrder();
        for (int from = 0, to; from < count; from = to) {
            to = read(order, from);
            write(order, from, to, image);
        }
        writes.clear();
    }

    /** The places of {@link #writes} as their records lie in the journal, each in the lower bits. */
    private long[] journalOrder() {
        long oldest = Long.MAX_VALUE;
        for (Extent extent : writes) {
            oldest = Math.min(oldest, extent.record().sequence());
        }
        long[] order = new long[writes.size()];
        for (int i = 0; i < order.length; i++) {
            order[i] = (writes.get(i).record().sequence() - oldest) << PLACE_BITS | i;
        }
        Arrays.sort(order);
        return order;
    }

    private Extent at(long place) {
        return writes.get((int) (place & (MAX_WRITES - 1)));
    }

    /** Reads the records of some extents, and returns the first whose record it has not read. */
    private int read(long[] order, int from) throws IOException {
        reader.begin(at(order[from]).record());
        int to = from + 1;
        while (to < order.length && reader.add(at(order[to]).record())) {
            to++;
        }
        reader.read();
        return to;
    }

    /** Writes some extents, in volume order. */
    private void write(long[] order, int from, int to, VolumeImage image) throws IOException {
        for (int i = from; i < to; i++) {
            order[i] &= MAX_WRITES - 1;
        }
        Arrays.sort(order, from, to);
        for (int i = from; i < to; i++) {
            Extent extent = at(order[i]);
            if (extent.start() != piecesEnd || pieces.isFull()) {
                flushPieces(image);
            }
            if (pieces.isEmpty()) {
                piecesStart = extent.start();
            }
            pieces.add(reader.payload(extent.record())
                    .asSlice(extent.start() - extent.record().offset(), extent.end() - extent.start()));
            piecesEnd = extent.end();
        }
        flushPieces(image);
    }

    private void flushPieces(VolumeImage image) throws IOException {
        if (!pieces.isEmpty()) {
            image.rewrite(piecesStart, pieces);
            pieces.clear();
        }
    }

    private void clear(Extent extent, VolumeImage image) throws IOException {
        if (extent.start() != clearEnd) {
            flushClear(image);
            clearStart = extent.start();
        }
        clearEnd = extent.end();
    }

    private void flushClear(VolumeImage image) throws IOException {
        if (clearEnd > clearStart) {
            image.clearAgain(clearStart, clearEnd - clearStart, true);
        }
        clearStart = clearEnd;
    }
}
