package io.vmft.blk.applier;

import io.vmft.blk.journal.Journal;
import io.vmft.blk.journal.RecordReader;
import io.vmft.blk.overlay.Extent;
import io.vmft.blk.overlay.Layer;
import io.vmft.blk.volume.VolumeImage;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * Writes a layer into an image: in volume order, neighbours together, every record's checksum checked. Doing it again after a
 * failure or a crash gives the same image. Not thread-safe.
 */
final class Fold {
    private static final int BUFFER_BYTES = 1 << 20;

    private final MemorySegment buffer = Arena.ofAuto().allocate(BUFFER_BYTES, 4096);
    private final RecordReader reader;
    private long bufferStart;
    private int buffered;
    private long clearStart;
    private long clearEnd;

    Fold(Journal journal) {
        reader = new RecordReader(journal);
    }

    /** Writes and syncs. Afterwards every byte of the layer is durable in the image. */
    void fold(Layer layer, VolumeImage image) throws IOException {
        buffered = 0;
        clearStart = 0;
        clearEnd = 0;
        for (Extent extent : layer.extents()) {
            switch (extent.record().kind()) {
                case WRITE -> write(extent, image);
                case TRIM -> clear(extent, image);
                case ZERO -> image.clearAgain(extent.start(), extent.end() - extent.start(), false);
                case SEAL -> throw new IllegalStateException("a seal in a layer: " + extent);
            }
        }
        flushBuffer(image);
        flushClear(image);
        image.syncRewritten();
    }

    private void write(Extent extent, VolumeImage image) throws IOException {
        MemorySegment payload = reader.payload(extent.record());
        for (long at = extent.start(); at < extent.end(); ) {
            if (at != bufferStart + buffered || buffered == BUFFER_BYTES) {
                flushBuffer(image);
                bufferStart = at;
            }
            long step = Math.min(extent.end() - at, BUFFER_BYTES - buffered);
            MemorySegment.copy(payload, at - extent.record().offset(), buffer, buffered, step);
            buffered += (int) step;
            at += step;
        }
    }

    private void flushBuffer(VolumeImage image) throws IOException {
        if (buffered > 0) {
            image.rewrite(bufferStart, buffer.asSlice(0, buffered));
            buffered = 0;
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
