package io.vmft.blk.nbd;

import io.netty.buffer.ByteBuf;
import io.vmft.blk.export.BlockStatus;
import io.vmft.blk.export.ExportView;
import java.io.IOException;
import java.util.List;

/** A volume in memory, to be subclassed where a test wants storage to behave in some way. */
class MemoryView implements ExportView {
    final byte[] bytes;

    MemoryView(int sizeBytes) {
        bytes = new byte[sizeBytes];
    }

    @Override
    public long sizeBytes() {
        return bytes.length;
    }

    @Override
    public boolean readOnly() {
        return false;
    }

    @Override
    public boolean multiConn() {
        return true;
    }

    @Override
    public void read(long offset, int lengthBytes, ByteBuf destination) throws IOException {
        synchronized (bytes) {
            destination.writeBytes(bytes, (int) offset, lengthBytes);
        }
    }

    @Override
    public void write(long offset, ByteBuf source, boolean fua) throws IOException {
        synchronized (bytes) {
            source.getBytes(source.readerIndex(), bytes, (int) offset, source.readableBytes());
        }
    }

    @Override
    public void writeZeroes(long offset, long lengthBytes, boolean punchHole, boolean fua) throws IOException {
        synchronized (bytes) {
            java.util.Arrays.fill(bytes, (int) offset, (int) (offset + lengthBytes), (byte) 0);
        }
    }

    @Override
    public void trim(long offset, long lengthBytes, boolean fua) throws IOException {
        writeZeroes(offset, lengthBytes, true, fua);
    }

    @Override
    public boolean zeroesFast(boolean punchHole) {
        return true;
    }

    @Override
    public void cache(long offset, long lengthBytes) throws IOException {}

    @Override
    public List<String> contexts(String query, boolean list) {
        return query.equals(BlockStatus.ALLOCATION) || (list && (query.isEmpty() || query.equals("base:")))
                ? List.of(BlockStatus.ALLOCATION)
                : List.of();
    }

    @Override
    public List<BlockStatus> blockStatus(String context, long offset, long lengthBytes, int limit) throws IOException {
        return List.of(new BlockStatus(lengthBytes, 0));
    }

    @Override
    public String description() {
        return "a test's volume";
    }

    @Override
    public void flush() throws IOException {}

    @Override
    public void close() {}
}
