package io.vmft.blk.volume;

import io.vmft.blk.journal.JournalRecord;
import io.vmft.blk.journal.RecordKind;
import io.vmft.blk.overlay.Horizon;
import io.vmft.blk.overlay.Overlay;
import io.vmft.blk.overlay.Piece;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.List;

/** Reads a volume: the overlay where it has something, the image elsewhere. Thread-safe. */
public final class VolumeReader {
    private static final int MAX_READ_AHEAD_PIECES = 1024;

    private final VolumeImage image;
    private final Overlay overlay;

    public VolumeReader(VolumeImage image, Overlay overlay) {
        this.image = image;
        this.overlay = overlay;
    }

    void read(long offset, MemorySegment destination, Horizon horizon) throws IOException {
        if (overlay.isEmpty()) {
            image.read(offset, destination);
            return;
        }
        List<Piece> pieces = overlay.resolve(offset, offset + destination.byteSize(), horizon);
        try {
            for (Piece piece : pieces) {
                read(piece, destination.asSlice(piece.start() - offset, piece.lengthBytes()));
            }
        } finally {
            Overlay.release(pieces);
        }
    }

    /** Reads with every write there is. */
    public void readNewest(long offset, MemorySegment destination) throws IOException {
        read(offset, destination, Horizon.NEWEST);
    }

    /** False if a range is known to read as zeroes; looks at no bytes. */
    public boolean mayHold(long start, long end) throws IOException {
        List<Piece> pieces = overlay.resolve(start, end, Horizon.NEWEST);
        try {
            for (Piece piece : pieces) {
                JournalRecord record = piece.record();
                if (record == null ? image.nextData(piece.start()) < piece.end() : record.kind() == RecordKind.WRITE) {
                    return true;
                }
            }
            return false;
        } finally {
            Overlay.release(pieces);
        }
    }

    /** Has the image's part of the range in memory soon. */
    void readAhead(long offset, long lengthBytes, Horizon horizon) {
        List<Piece> pieces = overlay.resolve(offset, offset + lengthBytes, horizon, MAX_READ_AHEAD_PIECES);
        try {
            for (Piece piece : pieces) {
                if (piece.record() == null) {
                    image.readAhead(piece.start(), piece.lengthBytes());
                }
            }
        } finally {
            Overlay.release(pieces);
        }
    }

    private void read(Piece piece, MemorySegment destination) throws IOException {
        JournalRecord record = piece.record();
        if (record == null) {
            image.read(piece.start(), destination);
        } else if (record.kind() == RecordKind.WRITE) {
            record.segment().file().read(record.payloadPosition(piece.start()), destination);
        } else {
            destination.fill((byte) 0);
        }
    }
}
