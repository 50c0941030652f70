package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/** A small volume in memory that may be read-only, or fail. */
class FuzzView extends MemoryView {
    static final int SIZE_BYTES = 16 << 10;
    /** Where a failing volume fails: at offsets of such a remainder. */
    private static final int BAD_MODULUS = 1024;

    private static final int BAD_REMAINDER = 512;
    private static final int STRIPE_BYTES = 512;

    private final boolean readOnly;
    private final boolean failing;
    private boolean closed;

    FuzzView(boolean readOnly, boolean failing) {
        super(SIZE_BYTES);
        this.readOnly = readOnly;
        this.failing = failing;
        for (int i = 0; i < SIZE_BYTES; i++) {
            bytes[i] = initial(i);
        }
    }

    static byte initial(int offset) {
        return (byte) ((offset * 31) >> 4);
    }

    static boolean isBad(long offset) {
        return offset % BAD_MODULUS == BAD_REMAINDER;
    }

    @Override
    public boolean readOnly() {
        return readOnly;
    }

    private void call(long offset, long lengthBytes) throws IOException {
        if (closed) {
            throw new AssertionError("a call on a closed view");
        }
        if (offset < 0 || lengthBytes < 0 || offset + lengthBytes > SIZE_BYTES) {
            throw new AssertionError(lengthBytes + " bytes at " + offset + " are outside the volume");
        }
        if (failing && isBad(offset)) {
            throw new IOException("a bad place");
        }
    }

    @Override
    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
        call(offset, lengthBytes);
        super.read(offset, lengthBytes, destination);
    }

    @Override
    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
        call(offset, source.readableBytes());
        if (readOnly) {
            throw new AssertionError("a write to a read-only volume");
        }
        super.write(offset, source, fua);
    }

    @Override
    public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException {
        call(offset, lengthBytes);
        if (readOnly) {
            throw new AssertionError("a write to a read-only volume");
        }
        super.writeZeroes(offset, lengthBytes, punchHole, fua);
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {
        call(offset, lengthBytes);
    }

    /** Stripes. */
    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        call(offset, lengthBytes);
        if (lengthBytes == 0 || limit < 1) {
            throw new AssertionError(limit + " extents of " + lengthBytes + " bytes are asked for");
        }
        List<BlockStatus> extents = new ArrayList<>();
        long at = offset;
        while (at < offset + lengthBytes && extents.size() < limit) {
            long end = (at / STRIPE_BYTES + 1) * STRIPE_BYTES;
            extents.add(
                    new BlockStatus(end - at, (int) (at / STRIPE_BYTES % 2) * (BlockStatus.HOLE | BlockStatus.ZERO)));
            at = end;
        }
        return extents;
    }

    @Override
    public void flush() throws IOException {
        call(0, 0);
    }

    @Override
    public void close() {
        if (closed) {
            throw new AssertionError("a view is closed twice");
        }
        closed = true;
    }

    boolean isClosed() {
        return closed;
    }
}
