package io.vmft.nbd.client.cli;

import io.netty.buffer.ByteBuf;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.Ranges;
import io.vmft.nbd.client.Waiting;
import java.io.BufferedOutputStream;
import java.io.FileDescriptor;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

@Command(name = "read", description = "Writes bytes of an export to stdout.", mixinStandardHelpOptions = true)
final class ReadCommand implements Callable<Integer> {
    private static final int CHUNK_BYTES = 1 << 20;

    @Parameters(paramLabel = "URI")
    private @Nullable NbdUri uri;

    @Parameters(paramLabel = "OFFSET")
    private @Nullable ByteCount offset;

    @Parameters(paramLabel = "LENGTH")
    private @Nullable ByteCount length;

    @Mixin
    private Opening opening = new Opening();

    @Override
    public Integer call() throws IOException {
        try (NbdClient client = opening.open(Required.of(uri), ConnectOptions.DEFAULT);
                OutputStream out = new BufferedOutputStream(new FileOutputStream(FileDescriptor.out))) {
            copy(client, Required.of(offset).bytes(), Required.of(length).bytes(), out);
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
        return 0;
    }

    static void copy(NbdClient client, long offset, long lengthBytes, OutputStream out) throws IOException {
        Ranges.check(client.export(), offset, lengthBytes);
        int most = Math.min(CHUNK_BYTES, client.export().maximumPayloadBytes());
        for (long done = 0; done < lengthBytes; ) {
            int count = (int) Math.min(most, lengthBytes - done);
            ByteBuf data = Waiting.get(client.read(offset + done, count));
            try {
                data.readBytes(out, count);
            } finally {
                data.release();
            }
            done += count;
        }
    }
}
