package io.vmft.blk.crash;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;

/**
 * One change of a disk, or one end of a sync, as {@code disktrace.c} writes it.
 *
 * @param end where it ends in the trace, bytes: changes are known by that
 * @param inode of the file; 0 where {@code data} names what it is about
 * @param length of the change; for a sync its number
 * @param data what was written, or names
 */
record TraceRecord(Kind kind, long end, long inode, long offset, long length, MemorySegment data) {
    /** In the order of the numbers they have in the trace, from 1. */
    enum Kind {
        CREATE,
        MKDIR,
        UNLINK,
        RMDIR,
        RENAME,
        WRITE,
        ZERO,
        SIZE,
        RESERVE,
        SYNC_BEGIN,
        SYNC_END
    }

    /** What it names, below the traced folder. */
    String name() {
        return new String(data.toArray(java.lang.foreign.ValueLayout.JAVA_BYTE), StandardCharsets.UTF_8);
    }

    static String folderOf(String name) {
        int slash = name.lastIndexOf('/');
        return slash < 0 ? "" : name.substring(0, slash);
    }

    static String lastPartOf(String name) {
        return name.substring(name.lastIndexOf('/') + 1);
    }
}
