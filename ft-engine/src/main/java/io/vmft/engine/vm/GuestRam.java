package io.vmft.engine.vm;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.standby.RamImage;
import io.vmft.proto.checkpoint.Frame;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * The engine's mapping of the file that is guest RAM. On the primary it is read while the guest writes: a page may come out torn,
 * and is then dirty again. On the standby it is the image that checkpoints are folded into, by one thread.
 */
public final class GuestRam implements RamImage, AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment memory;

    private GuestRam(FileChannel file, long bytes) throws IOException {
        this.memory = file.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
    }

    /** Makes the file, all zero, and maps it. A file that was there is replaced. */
    public static GuestRam create(Path path, long bytes) throws IOException {
        try (FileChannel file = FileChannel.open(
                path,
                StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING,
                StandardOpenOption.READ,
                StandardOpenOption.WRITE)) {
            file.write(java.nio.ByteBuffer.allocate(1), bytes - 1);
            return new GuestRam(file, bytes);
        } catch (IOException e) {
            throw new IOException(
                    path + ": cannot make the guest's RAM of " + (bytes >> 20) + " MiB (" + e.getMessage()
                            + "); is there room in that memory file system?",
                    e);
        }
    }

    @Override
    public long pages() {
        return memory.byteSize() / Frame.PAGE_BYTES;
    }

    @Override
    public void setPage(long pageIndex, ByteBuf source, int offset) {
        MemorySegment page = memory.asSlice(pageIndex * Frame.PAGE_BYTES, Frame.PAGE_BYTES);
        source.getBytes(offset, page.asByteBuffer());
    }

    /** Copies a page to the writer index of {@code target}. */
    public void copyPage(long pageIndex, ByteBuf target) {
        target.writeBytes(
                memory.asSlice(pageIndex * Frame.PAGE_BYTES, Frame.PAGE_BYTES).asByteBuffer());
    }

    /** Whether a page holds only zeroes. */
    public boolean isZero(long pageIndex) {
        long start = pageIndex * Frame.PAGE_BYTES;
        for (long at = start; at < start + Frame.PAGE_BYTES; at += 4 * Long.BYTES) {
            if ((memory.get(ValueLayout.JAVA_LONG, at)
                            | memory.get(ValueLayout.JAVA_LONG, at + 8)
                            | memory.get(ValueLayout.JAVA_LONG, at + 16)
                            | memory.get(ValueLayout.JAVA_LONG, at + 24))
                    != 0) {
                return false;
            }
        }
        return true;
    }

    @Override
    public void close() {
        arena.close();
    }
}
