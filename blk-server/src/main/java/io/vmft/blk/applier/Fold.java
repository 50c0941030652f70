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
 * time, and writes those in volume order, neighbours together; in what order all go to the disk is left to the page cache. Doing it again after a
 * failure or a crash gives the same image. Not thread-safe.
 */
final class Fold {
    private static final int PLACE_BITS = 20;
    /** Extents that are put in order together. */
    private static final int MAX_WRITES = 1 << PLACE_BITS;

    private final RecordReader reader;

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
        List<Extent> writes = new ArrayList<>();
        for (Extent extent : layer.extents()) {
            switch (extent.record().kind()) {
                case WRITE -> {
                    writes.add(extent);
                    if (writes.size() == MAX_WRITES) {
                        foldWrites(writes, image);
                        writes.clear();
                    }
                }
                case TRIM -> clear(extent, image);
                case ZERO -> image.clearAgain(extent.start(), extent.end() - extent.start(), false);
                case SEAL -> throw new IllegalStateException("a seal in a layer: " + extent);
            }
        }
        foldWrites(writes, image);
        flushClear(image);
        image.syncRewritten();
    }

    /** Folds extents that are in volume order. */
    private void foldWrites(List<Extent> writes, VolumeImage image) throws IOException {
        long[] places = inJournalOrder(writes);
        for (int from = 0, to; from < places.length; from = to) {
            to = read(writes, places, from);
            write(writes, places, from, to, image);
        }
    }

    /** The places of extents in their list, in the lower bits, as their records lie in the journal. */
    private static long[] inJournalOrder(List<Extent> writes) {
        long oldest = Long.MAX_VALUE;
        for (Extent extent : writes) {
            oldest = Math.min(oldest, extent.record().sequence());
        }
        long[] places = new long[writes.size()];
        for (int i = 0; i < places.length; i++) {
            places[i] = ((writes.get(i).record().sequence() - oldest) << PLACE_BITS) | i;
        }
        Arrays.sort(places);
        return places;
    }

    private static Extent at(List<Extent> writes, long place) {
        return writes.get((int) (place & (MAX_WRITES - 1)));
    }

    /** Reads the records of some extents, and returns the first whose record it has not read. */
    private int read(List<Extent> writes, long[] places, int from) throws IOException {
        reader.begin(at(writes, places[from]).record());
        int to = from + 1;
        while (to < places.length && reader.add(at(writes, places[to]).record())) {
            to++;
        }
        reader.read();
        return to;
    }

    /** Writes some extents, in volume order. */
    private void write(List<Extent> writes, long[] places, int from, int to, VolumeImage image) throws IOException {
        for (int i = from; i < to; i++) {
            places[i] &= MAX_WRITES - 1;
        }
        Arrays.sort(places, from, to);
        for (int i = from; i < to; i++) {
            Extent extent = writes.get((int) places[i]);
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
