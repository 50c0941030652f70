package io.vmft.blk.file;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * An open block device. Its size is what it is; the system clears it (by the device's discard or write-zeroes command) in whole blocks
 * only.
 */
final class BlockDeviceFile extends PosixFile {
    /** A multiple of nearly every device's logical block. */
    private static final long ALIGNMENT_BYTES = 4096;

    /** {@code S_IFMT} and {@code S_IFBLK} of {@code st_mode}, inode(7). */
    private static final int FILE_TYPE_MASK = 0170000;

    private static final int BLOCK_DEVICE = 0060000;

    BlockDeviceFile(Path path, int fd) {
        super(path, fd);
    }

    /** Whether {@code path} names one; false if there is nothing. */
    static boolean is(Path path) throws IOException {
        return Files.exists(path) && ((int) Files.getAttribute(path, "unix:mode") & FILE_TYPE_MASK) == BLOCK_DEVICE;
    }

    @Override
    public void punchHole(long position, long lengthBytes) throws IOException {
        clear(Libc.FALLOC_FL_PUNCH_HOLE, "punch hole", position, lengthBytes);
    }

    @Override
    public void zero(long position, long lengthBytes) throws IOException {
        clear(Libc.FALLOC_FL_ZERO_RANGE, "zero range", position, lengthBytes);
    }

    /** Whether a device does it fast shows only in doing it: not promised. */
    @Override
    public boolean zeroesFast(boolean punchHole) {
        return false;
    }

    @Override
    public void setSize(long sizeBytes) throws IOException {
        throw new IOException(path() + " is a block device; give it its size with the tools that made it");
    }

    /** Blocks may be larger than expected. */
    @Override
    boolean unsupported(int result) {
        return result == -Libc.EINVAL || super.unsupported(result);
    }

    private void clear(int mode, String call, long position, long lengthBytes) throws IOException {
        long end = position + lengthBytes;
        long first = Math.min(end, (position + ALIGNMENT_BYTES - 1) / ALIGNMENT_BYTES * ALIGNMENT_BYTES);
        long last = Math.max(first, end / ALIGNMENT_BYTES * ALIGNMENT_BYTES);
        writeZeroes(position, first - position);
        if (first < last) {
            clearRange(mode, call, first, last - first);
        }
        writeZeroes(last, end - last);
    }
}
