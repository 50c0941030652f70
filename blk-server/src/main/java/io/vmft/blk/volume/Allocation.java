package io.vmft.blk.volume;

import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.overlay.Horizon;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.overlay.Piece;
import java.io.IOException;
import java.util.List;

/**
 * What {@code base:allocation} says of a volume: the image's holes, under what the journal holds. A write in the journal is data, a
 * trim a hole, zeroes are zeroes. What is reported as {@link BlockStatus#ZERO} reads as zeroes unless it is written meanwhile.
 * Thread-safe.
 */
final class Allocation {
    private static final int HOLE = BlockStatus.HOLE | BlockStatus.ZERO;

    /** How many pieces of the overlay are looked at under its lock. */
    private static final int PIECES = 1024;

    private final VolumeImage image;
    private final Overlay overlay;

    Allocation(VolumeImage image, Overlay overlay) {
        this.image = image;
        this.overlay = overlay;
    }

    /** Goes on with {@code list} until it is done, or to {@code until}. */
    void fill(StatusList list, long until, Horizon horizon) throws IOException {
        while (!list.isDone() && list.at() < until) {
            if (overlay.isEmpty()) {
                fillFromImage(list, until);
                continue;
            }
            List<Piece> pieces = overlay.resolve(list.at(), Math.min(list.end(), until), horizon, PIECES);
            try {
                fill(list, pieces);
            } finally {
                Overlay.release(pieces);
            }
        }
    }

    private void fill(StatusList list, List<Piece> pieces) throws IOException {
        for (Piece piece : pieces) {
            if (piece.record() == null) {
                fillFromImage(list, piece.end());
            } else {
                list.addUntil(piece.end(), flags(piece.record().kind()));
            }
            if (list.isDone()) {
                return;
            }
        }
    }

    private static int flags(RecordKind kind) {
        return switch (kind) {
            case WRITE -> 0;
            case ZERO -> BlockStatus.ZERO;
            case TRIM -> HOLE;
            case SEAL -> throw new IllegalStateException("a seal in an overlay");
        };
    }

    private void fillFromImage(StatusList list, long until) throws IOException {
        while (!list.isDone() && list.at() < until) {
            long data = image.nextData(list.at());
            if (data > list.at()) {
                list.addUntil(Math.min(data, until), HOLE);
            } else {
                // A hole may have been made here since: one byte of data is a safe answer, too.
                long hole = Math.max(image.nextHole(list.at()), list.at() + 1);
                list.addUntil(Math.min(hole, until), 0);
            }
        }
    }
}
