package io.vmft.blk.applier;

import io.vmft.blk.file.WriteVector;
import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.RecordReader;
import io.vmft.blk.overlay.Extent;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.volume.VolumeImage;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/**
 * Writes a layer into an image, every record's checksum checked. It reads the records as they lie in the journal, some hundreds at a
 * time, and writes those in volume order, neighbours together; the order of all is the page cache's. Doing it again after a
 * failure or a crash gives the same image. Not thread-safe.
 */
final class Fold {
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
                case WRITE -> writes.add(extent);
                case TRIM -> clear(extent, image);
                case ZERO -> image.clearAgain(extent.start(), extent.end() - extent.start(), false);
                case SEAL -> throw new IllegalStateException("a seal in a layer: " + extent);
            }
        }
        flushClear(image);
        writes.sort(Comparator.comparingLong(extent -> extent.record().sequence()));
        for (int from = 0, to; from < writes.size(); from = to) {
            to = read(writes, from);
            write(writes.subList(from, to), image);
        }
        image.syncRewritten();
    }

    /** Reads the records of some extents, and returns the first whose record it has not read. */
    private int read(List<Extent> extents, int from) throws IOException {
        reader.begin(extents.get(from).record());
        int to = from + 1;
        while (to < extents.size() && reader.add(extents.get(to).record())) {
            to++;
        }
        reader.read();
        return to;
    }

    private void write(List<Extent> extents, VolumeImage image) throws IOException {
        extents.sort(Comparator.comparingLong(Extent::start));
        for (Extent extent : extents) {
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
