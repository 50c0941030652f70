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
        return new PosixFile(path, open(path, flags));
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
        int fd = Libc.open(path.toString(), flags | Libc.O_CLOEXEC, MODE);
        if (fd < 0) {
            throw PosixFile.failure(path, "open", -fd);
        }
        return fd;
    }
}
