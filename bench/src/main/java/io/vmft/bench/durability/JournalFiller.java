package io.vmft.bench.durability;

import io.vmft.blk.server.BlkServer;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.Random;

/** A server that writes a journal full of random blocks that nobody commits, says so, and waits to be killed. */
final class JournalFiller {
    static final String FULL = "full";
    static final long LIMIT_BYTES = 2L << 30;
    static final long VOLUME_BYTES = 8L << 30;
    private static final long FILL_BYTES = 1 << 30;
    /** Not more epochs than a VM may have sealed and not committed. */
    private static final long SEAL_EVERY_BYTES = 32 << 20;

    private JournalFiller() {}

    /** Arguments: a folder, the blocks' size in KiB. */
    public static void main(String[] arguments) throws IOException, InterruptedException {
        Path folder = Path.of(arguments[0]);
        int blockBytes = Integer.parseInt(arguments[1]) << 10;
        BlkServer server = Servers.start(folder, VOLUME_BYTES, LIMIT_BYTES);
        Random random = new Random(1);
        MemorySegment block = Arena.global().allocate(blockBytes, 4096).fill((byte) 'x');
        ServerLog log = new ServerLog(server, Servers.VOLUME, block);
        long sealed = 0;
        for (long written = 0; written < FILL_BYTES; written += blockBytes) {
            log.write(random.nextLong(VOLUME_BYTES / blockBytes) * blockBytes);
            if (written - sealed >= SEAL_EVERY_BYTES) {
                log.seal();
                sealed = written;
            }
        }
        System.out.println(FULL);
        Thread.currentThread().join();
    }
}
