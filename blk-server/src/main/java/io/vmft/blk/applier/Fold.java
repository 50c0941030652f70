package io.vmft.blk.applier;

import io.vmft.blk.file.WriteVector;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.RecordReader;
import io.vmft.blk.overlay.Extent;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.volume.VolumeImage;
import java.io.IOException;
import java.util.Arrays;

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
    /** Cursors of extents to be written. */
    private long[] writes = new long[1024];

    private int writeCount;

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
        writeCount = 0;
        for (long at = layer.first(); at != Layer.NONE; at = layer.next(at)) {
            switch (layer.kind(at)) {
                case WRITE -> {
                    addWrite(at);
                    if (writeCount == MAX_WRITES) {
                        foldWrites(layer, image);
                    }
                }
                case TRIM -> clear(layer.extent(at), image);
                case ZERO -> {
                    Extent extent = layer.extent(at);
                    image.clearAgain(extent.start(), extent.end() - extent.start(), false);
                }
                case SEAL -> throw new IllegalStateException("a seal in a layer: " + layer.extent(at));
            }
        }
        foldWrites(layer, image);
        flushClear(image);
        image.syncRewritten();
    }

    private void addWrite(long cursor) {
        if (writeCount == writes.length) {
            writes = Arrays.copyOf(writes, 2 * writeCount);
        }
        writes[writeCount++] = cursor;
    }

    /** Folds the extents that were added, which are in volume order. */
    private void foldWrites(Layer layer, VolumeImage image) throws IOException {
        long[] places = inJournalOrder(layer);
        for (int from = 0, to; from < places.length; from = to) {
            to = read(layer, places, from);
            write(layer, places, from, to, image);
        }
        writeCount = 0;
    }

    /** The places of extents among those added, in the lower bits, as their records lie in the journal. */
    private long[] inJournalOrder(Layer layer) {
        long oldest = Long.MAX_VALUE;
        for (int i = 0; i < writeCount; i++) {
            oldest = Math.min(oldest, layer.sequence(writes[i]));
        }
        long[] places = new long[writeCount];
        for (int i = 0; i < places.length; i++) {
            places[i] = ((layer.sequence(writes[i]) - oldest) << PLACE_BITS) | i;
        }
        Arrays.sort(places);
        return places;
    }

    private long at(long place) {
        return writes[(int) (place & (MAX_WRITES - 1))];
    }

    /** Reads the records of some extents, and returns the first whose record it has not read. */
    private int read(Layer layer, long[] places, int from) throws IOException {
        reader.begin(layer.record(at(places[from])));
        int to = from + 1;
        while (to < places.length && reader.add(layer.record(at(places[to])))) {
            to++;
        }
        reader.read();
        return to;
    }

    /** Writes some extents, in volume order. */
    private void write(Layer layer, long[] places, int from, int to, VolumeImage image) throws IOException {
        for (int i = from; i < to; i++) {
            places[i] &= MAX_WRITES - 1;
        }
        Arrays.sort(places, from, to);
        for (int i = from; i < to; i++) {
            Extent extent = layer.extent(at(places[i]));
            if (extent.start() != piecesEnd || pieces.isFull()) {
                flushPieces(image);
            }
            if (pieces.isEmpty()) {
                piecesStart = extent.start();
            }
            pieces.add(
                    reader.payload(extent.record()),
                    extent.start() - extent.record().offset(),
                    extent.end() - extent.start());
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
