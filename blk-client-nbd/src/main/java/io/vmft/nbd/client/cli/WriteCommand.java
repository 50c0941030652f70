package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.BlockingNbd;
import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdUri;
import java.io.IOException;
import java.io.InputStream;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;

@Command(name = "write", description = "Writes stdin to an export and flushes.", mixinStandardHelpOptions = true)
final class WriteCommand implements Callable<Integer> {
    private static final int CHUNK_BYTES = 1 << 20;

    @Parameters(paramLabel = "URI")
    private @Nullable NbdUri uri;

    @Parameters(paramLabel = "OFFSET")
    private @Nullable ByteCount offset;

    @Mixin
    private Opening opening = new Opening();

    @Override
    public Integer call() throws IOException {
        try (NbdClient client = opening.open(Required.of(uri), ConnectOptions.DEFAULT)) {
            write(client, System.in, Required.of(offset).bytes());
        } catch (IllegalArgumentException e) {
            throw new IOException(e.getMessage(), e);
        }
        return 0;
    }

    static void write(NbdClient client, InputStream in, long start) throws IOException {
        BlockingNbd blocking = client.blocking();
        long position = start;
        for (byte[] chunk = in.readNBytes(CHUNK_BYTES); chunk.length > 0; chunk = in.readNBytes(CHUNK_BYTES)) {
            blocking.write(position, chunk);
            position += chunk.length;
        }
        blocking.flush();
    }
}
