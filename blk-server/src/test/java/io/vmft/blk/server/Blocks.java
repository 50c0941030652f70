package io.vmft.blk.server;

import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.vmft.blk.export.ExportView;
import java.io.IOException;
import java.nio.file.Path;

/** Blocks of 4 KiB filled with one character. */
final class Blocks {
    static final int BYTES = 4096;

    private Blocks() {}

    static void write(ExportView view, int block, int fill) throws IOException {
        ByteBuf data = Unpooled.directBuffer(BYTES);
        for (int i = 0; i < BYTES; i++) {
            data.writeByte(fill);
        }
        try {
            view.write((long) block * BYTES, data, false);
        } finally {
            data.release();
        }
    }

    /** What the block is filled with. */
    static int read(ExportView view, int block) throws IOException {
        ByteBuf data = Unpooled.buffer(BYTES);
        view.read((long) block * BYTES, BYTES, data);
        int fill = data.getByte(0);
        for (int i = 0; i < BYTES; i++) {
            if (data.getByte(i) != fill) {
                throw new AssertionError("block " + block + " has both " + fill + " and " + data.getByte(i));
            }
        }
        return fill;
    }

    /** Blocks 0 to {@code count}, a dot for zeroes. */
    static String text(ExportView view, int count) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int block = 0; block < count; block++) {
            int fill = read(view, block);
            text.append(fill == 0 ? '.' : (char) fill);
        }
        return text.toString();
    }

    static int inFile(Path image, int block) throws IOException {
        // The server's lock is for other processes; but closing a second descriptor here would drop it, so read by
        // another process.
        Process process = new ProcessBuilder(
                        "dd", "if=" + image, "bs=" + BYTES, "count=1", "skip=" + block, "status=none")
                .start();
        byte[] data = process.getInputStream().readAllBytes();
        for (byte value : data) {
            if (value != data[0]) {
                throw new AssertionError("block " + block + " is mixed");
            }
        }
        return data[0];
    }
}
