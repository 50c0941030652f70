package io.vmft.blk.file;

import java.io.IOException;
import java.nio.file.Path;

/** Opens files of the operating system. */
final class PosixFiles implements StoreFiles {
    private static final int MODE = 0600;

    @Override
    public StoreFile open(Path path, Access access) throws IOException {
        int flags = switch (access) {
            case READ_ONLY -> Libc.O_RDONLY;
            case READ_WRITE -> Libc.O_RDWR;
            case CREATE -> Libc.O_RDWR | Libc.O_CREAT;
        };
        if (!BlockDeviceFile.is(path)) {
            return new PosixFile(path, open(path, flags));
        }
        // Claims the device: refused while it is mounted or part of another one, and the other way round.
        int claim = access == Access.READ_ONLY ? 0 : Libc.O_EXCL;
        int fd = Libc.open(path.toString(), flags | claim | Libc.O_CLOEXEC, MODE);
        if (fd == -Libc.EBUSY) {
            throw new IOException(
                    path + ": the device is in use (mounted, or part of another); unmount it or name another");
        }
        return new BlockDeviceFile(path, check(path, fd));
    }

    @Override
    public void syncDirectory(Path directory) throws IOException {
        int fd = open(directory, Libc.O_RDONLY | Libc.O_DIRECTORY);
        int result = Libc.fsync(fd);
        Libc.close(fd);
        if (result < 0) {
            throw PosixFile.failure(directory, "fsync", -result);
        }
    }

    private static int open(Path path, int flags) throws IOException {
        return check(path, Libc.open(path.toString(), flags | Libc.O_CLOEXEC, MODE));
    }

    private static int check(Path path, int fd) throws IOException {
        if (fd < 0) {
            throw PosixFile.failure(path, "open", -fd);
        }
        return fd;
    }
}
