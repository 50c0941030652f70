package io.vmft.bench.durability;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/** What the disk can do: a file of written blocks, appended to from its beginning again and again, and synced. */
final class BareFile implements DurableLog {
    private static final long FILE_BYTES = 512 << 20;

    private final StoreFile file;
    private final MemorySegment block;
    private long at;

    BareFile(Path folder, MemorySegment block) throws IOException {
        this.block = block;
        file = StoreFiles.SYSTEM.open(folder.resolve("bare"), StoreFiles.Access.CREATE);
        for (long position = 0; position < FILE_BYTES; position += block.byteSize()) {
            file.write(position, block);
        }
        file.sync();
    }

    @Override
    public void append() throws IOException {
        if (at + block.byteSize() > FILE_BYTES) {
            at = 0;
        }
        file.write(at, block);
        at += block.byteSize();
    }

    @Override
    public void commit() throws IOException {
        file.sync();
    }

    @Override
    public void close() throws IOException {
        file.close();
    }
}
