package io.vmft.nbd.client;

import io.netty.buffer.ByteBuf;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.CompletableFuture;

/** A side of a copy: an export or a file. Thread-safe; one copy uses each from one thread. */
sealed interface Endpoint extends AutoCloseable permits ExportEndpoint, FileEndpoint {

    long sizeBytes();

    /** The buffer belongs to whoever takes it. */
    CompletableFuture<ByteBuf> read(long offset, int lengthBytes);

    /** Takes {@code data} over. */
    CompletableFuture<Void> write(long offset, ByteBuf data);

    CompletableFuture<Void> writeZeroes(long offset, long lengthBytes);

    CompletableFuture<Void> flush();

    @Override
    void close() throws IOException;

    static Endpoint source(String text) throws IOException {
        return NbdUri.looksLikeUri(text)
                ? new ExportEndpoint(NbdClient.connect(NbdUri.parse(text)))
                : new FileEndpoint(FileChannel.open(Path.of(text), StandardOpenOption.READ));
    }

    /**
     * Opens where to copy to; a file is made anew.
     *
     * @throws IOException if it cannot be written or is too small
     */
    static Endpoint destination(String text, long sizeBytes) throws IOException {
        if (!NbdUri.looksLikeUri(text)) {
            if (Files.exists(Path.of(text)) && !Files.isRegularFile(Path.of(text))) {
                throw new IOException(text + " is not a regular file");
            }
            FileChannel channel = FileChannel.open(
                    Path.of(text),
                    StandardOpenOption.WRITE,
                    StandardOpenOption.READ,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING);
            return new FileEndpoint(channel, sizeBytes);
        }
        NbdClient client = NbdClient.connect(NbdUri.parse(text));
        if (client.export().readOnly() || client.export().sizeBytes() < sizeBytes) {
            client.close();
            throw new IOException(
                    client.export().readOnly()
                            ? text + " is read-only"
                            : text + " holds " + client.export().sizeBytes() + " bytes, the source " + sizeBytes);
        }
        return new ExportEndpoint(client);
    }
}
