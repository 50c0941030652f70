package io.vmft.blk.file;

import io.vmft.blk.export.NoSpaceException;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.ref.Reference;
import java.nio.file.Path;

/** A file of the operating system. */
class PosixFile implements StoreFile {
    private static final MemorySegment ZEROES = Arena.global().allocate(1 << 20, 4096);

    private final Path path;
    /** -1 when closed: a number that is closed twice may be another file's by then. */
    private int fd;

    private volatile Ability punchesHoles = Ability.UNKNOWN;
    private volatile Ability zeroesRanges = Ability.UNKNOWN;

    /** Whether the file system has a call of its own for something. */
    private enum Ability {
        UNKNOWN,
        YES,
        NO;

        static Ability of(int result) {
            return result >= 0 ? YES : NO;
        }
    }

    PosixFile(Path path, int fd) {
        this.path = path;
        this.fd = fd;
    }

    @Override
    public Path path() {
        return path;
    }

    @Override
    public long sizeBytes() throws IOException {
        return check("size", Libc.size(fd));
    }

    @Override
    public void read(long position, MemorySegment destination) throws IOException {
        long done = 0;
        long length = destination.byteSize();
        while (done < length) {
            long count = Libc.pread(fd, done == 0 ? destination : destination.asSlice(done), position + done);
            if (count == -Libc.EINTR) {
                continue;
            }
            if (check("read", count) == 0) {
                throw new IOException(path + ": the file ends before " + (position + length));
            }
            done += count;
        }
    }

    @Override
    public void write(long position, MemorySegment source) throws IOException {
        long done = 0;
        long length = source.byteSize();
        while (done < length) {
            long count = Libc.pwrite(fd, done == 0 ? source : source.asSlice(done), position + done);
            if (count != -Libc.EINTR) {
                done += check("write", count);
            }
        }
    }

    @Override
    public void write(long position, WriteVector pieces) throws IOException {
        long at = position;
        try {
            while (!pieces.isWritten()) {
                long count = Libc.pwritev(fd, pieces.remaining(), pieces.remainingCount(), at);
                if (count != -Libc.EINTR) {
                    pieces.written(check("write", count));
                    at += count;
                }
            }
        } finally {
            Reference.reachabilityFence(pieces);
        }
    }

    @Override
    public void sync() throws IOException {
        int result;
        do {
            result = Libc.fdatasync(fd);
        } while (result == -Libc.EINTR);
        check("fdatasync", result);
    }

    @Override
    public void punchHole(long position, long lengthBytes) throws IOException {
        if (!clearRange(Libc.FALLOC_FL_PUNCH_HOLE, "punch hole", position, lengthBytes)) {
            punchesHoles = Ability.NO;
        }
    }

    @Override
    public void zero(long position, long lengthBytes) throws IOException {
        if (!clearRange(Libc.FALLOC_FL_ZERO_RANGE, "zero range", position, lengthBytes)) {
            zeroesRanges = Ability.NO;
        }
    }

    @Override
    public boolean zeroesFast(boolean punchHole) {
        if (punchHole) {
            if (punchesHoles == Ability.UNKNOWN) {
                punchesHoles = tryPunching();
            }
            return punchesHoles == Ability.YES;
        }
        if (zeroesRanges == Ability.UNKNOWN) {
            zeroesRanges = tryZeroing();
        }
        return zeroesRanges == Ability.YES;
    }

    /** Past the end, where it changes nothing. */
    private Ability tryPunching() {
        long size = Libc.size(fd);
        return size < 0
                ? Ability.NO
                : Ability.of(fallocate(Libc.FALLOC_FL_PUNCH_HOLE | Libc.FALLOC_FL_KEEP_SIZE, size, 4096));
    }

    /** On a nameless file beside this one: zeroing past the end would reserve space there. */
    private Ability tryZeroing() {
        Path folder = path.toAbsolutePath().getParent();
        int probe =
                folder == null ? -1 : Libc.open(folder.toString(), Libc.O_TMPFILE | Libc.O_RDWR | Libc.O_CLOEXEC, 0600);
        if (probe < 0) {
            return Ability.NO;
        }
        Ability found =
                Ability.of(Libc.fallocate(probe, Libc.FALLOC_FL_ZERO_RANGE | Libc.FALLOC_FL_KEEP_SIZE, 0, 4096));
        Libc.close(probe);
        return found;
    }

    @Override
    public long nextData(long position) throws IOException {
        long found = Libc.seek(fd, position, Libc.SEEK_DATA);
        if (found == -Libc.ENXIO) {
            return Math.max(position, sizeBytes());
        }
        return tellsNoHoles(found) ? position : check("find data", found);
    }

    @Override
    public long nextHole(long position) throws IOException {
        long found = Libc.seek(fd, position, Libc.SEEK_HOLE);
        return tellsNoHoles(found) || found == -Libc.ENXIO
                ? Math.max(position, sizeBytes())
                : check("find a hole", found);
    }

    private static boolean tellsNoHoles(long result) {
        return result == -Libc.EINVAL || result == -Libc.EOPNOTSUPP;
    }

    @Override
    public void readAhead(long position, long lengthBytes) {
        Libc.willNeed(fd, position, lengthBytes);
    }

    @Override
    public void reserve(long position, long lengthBytes) throws IOException {
        int result = fallocate(0, position, lengthBytes);
        if (unsupported(result)) {
            writeZeroes(position, lengthBytes);
        } else {
            check("fallocate", result);
        }
    }

    @Override
    public void setSize(long sizeBytes) throws IOException {
        check("ftruncate", Libc.ftruncate(fd, sizeBytes));
    }

    @Override
    public void close() throws IOException {
        int open = fd;
        fd = -1;
        if (open >= 0) {
            check("close", Libc.close(open));
        }
    }

    /** Clears by the system's own call and says true, or writes zeroes where it has none. */
    final boolean clearRange(int mode, String call, long position, long lengthBytes) throws IOException {
        int result = fallocate(mode | Libc.FALLOC_FL_KEEP_SIZE, position, lengthBytes);
        if (unsupported(result)) {
            writeZeroes(position, lengthBytes);
            return false;
        }
        check(call, result);
        return true;
    }

    private int fallocate(int mode, long position, long lengthBytes) {
        int result;
        do {
            result = Libc.fallocate(fd, mode, position, lengthBytes);
        } while (result == -Libc.EINTR);
        return result;
    }

    /** Whether {@code fallocate} cannot do this here, so that zeroes must be written. */
    boolean unsupported(int result) {
        return result == -Libc.EOPNOTSUPP || result == -Libc.ENOSYS;
    }

    final void writeZeroes(long position, long lengthBytes) throws IOException {
        for (long done = 0; done < lengthBytes; ) {
            long step = Math.min(ZEROES.byteSize(), lengthBytes - done);
            write(position + done, ZEROES.asSlice(0, step));
            done += step;
        }
    }

    private long check(String call, long result) throws IOException {
        if (result >= 0) {
            return result;
        }
        throw failure(path, call, (int) -result);
    }

    static IOException failure(Path path, String call, int errno) {
        String message = path + ": " + call + ": " + Libc.message(errno);
        return errno == Libc.ENOSPC || errno == Libc.EDQUOT ? new NoSpaceException(message) : new IOException(message);
    }
}
