package io.vmft.blk.file;

import java.io.IOException;
import java.nio.file.Path;

/** The files of one server: opens them. Thread-safe. */
public interface StoreFiles {
    /** The system's own files. */
    StoreFiles SYSTEM = new PosixFiles();

    /** Opens an existing file, or creates an empty one. */
    StoreFile open(Path path, Access access) throws IOException;

    /** Makes names created, renamed or removed in {@code directory} durable. */
    void syncDirectory(Path directory) throws IOException;

    /** How a file is opened. */
    enum Access {
        READ_ONLY,
        READ_WRITE,
        CREATE
    }
}
