package io.vmft.engine.vm;

import io.netty.buffer.ByteBuf;
import io.vmft.engine.standby.RamImage;
import io.vmft.kvm.RamLayout;
import io.vmft.proto.checkpoint.Digests;
import io.vmft.proto.checkpoint.Frame;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.zip.CRC32C;

/**
 * The engine's mapping of all memory the guest can see: the file that is guest RAM, and the file in which QEMU's other blocks lie;
 * pages are numbered through both as {@link RamLayout} does. On the primary it is read while the guest writes: a page may come out torn,
 * and is then dirty again. On the standby it is the image that checkpoints are folded into, by one thread.
 */
public final class GuestRam implements RamImage, AutoCloseable {
    private final Arena arena = Arena.ofShared();
    private final MemorySegment ram;
    private MemorySegment blocks = MemorySegment.NULL;
    private long pages;

    private GuestRam(FileChannel file, long bytes) throws IOException {
        this.ram = file.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
        this.pages = bytes / Frame.PAGE_BYTES;
    }

    /** Makes guest RAM's file, all zero, and maps it. A file that was there is replaced. */
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

    /** QEMU has made its machine: what it has beside guest RAM is known. Called once, before other threads see this object. */
    void add(Path blocksFile, RamLayout layout) throws IOException {
        long bytes = (layout.pages() - layout.ramPages()) * Frame.PAGE_BYTES;
        try (FileChannel file = FileChannel.open(blocksFile, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            blocks = file.map(FileChannel.MapMode.READ_WRITE, 0, bytes, arena);
        }
        pages = layout.pages();
    }

    @Override
    public long pages() {
        return pages;
    }

    /** Pages of guest RAM alone. */
    public long ramPages() {
        return ram.byteSize() / Frame.PAGE_BYTES;
    }

    private MemorySegment page(long index) {
        long inBlocks = index - ramPages();
        return inBlocks < 0
                ? ram.asSlice(index * Frame.PAGE_BYTES, Frame.PAGE_BYTES)
                : blocks.asSlice(inBlocks * Frame.PAGE_BYTES, Frame.PAGE_BYTES);
    }

    @Override
    public void setPage(long pageIndex, ByteBuf source, int offset) {
        source.getBytes(offset, page(pageIndex).asByteBuffer());
    }

    @Override
    public void getPage(long pageIndex, byte[] target) {
        page(pageIndex).asByteBuffer().get(target);
    }

    @Override
    public int digest(int piece) {
        long first = (long) piece * Digests.PIECE_PAGES;
        long end = Math.min(first + Digests.PIECE_PAGES, pages);
        // Guest RAM is whole MiB, so no piece lies in both files.
        long inBlocks = first - ramPages();
        MemorySegment file = inBlocks < 0 ? ram : blocks;
        CRC32C crc = new CRC32C();
        crc.update(file.asSlice((inBlocks < 0 ? first : inBlocks) * Frame.PAGE_BYTES, (end - first) * Frame.PAGE_BYTES)
                .asByteBuffer());
        return (int) crc.getValue();
    }

    @Override
    public void setZero(long pageIndex) {
        page(pageIndex).fill((byte) 0);
    }

    /** Copies a page to the writer index of {@code target}. */
    public void copyPage(long pageIndex, ByteBuf target) {
        target.writeBytes(page(pageIndex).asByteBuffer());
    }

    /** Whether a page holds only zeroes. */
    public boolean isZero(long pageIndex) {
        MemorySegment page = page(pageIndex);
        for (long at = 0; at < Frame.PAGE_BYTES; at += 4 * Long.BYTES) {
            if ((page.get(ValueLayout.JAVA_LONG, at)
                            | page.get(ValueLayout.JAVA_LONG, at + 8)
                            | page.get(ValueLayout.JAVA_LONG, at + 16)
                            | page.get(ValueLayout.JAVA_LONG, at + 24))
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
