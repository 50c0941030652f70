package io.vmft.nbd.client.copy;

import io.netty.buffer.ByteBuf;
import io.vmft.nbd.client.Extent;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** A side of a copy: an export or a file. Thread-safe. */
sealed interface CopySide extends AutoCloseable permits ExportSide, FileSide {
    long sizeBytes();

    /** The longest read or write. */
    int maximumRequestBytes();

    /** A run of zeroes shorter than this is written as what it is: telling it apart would cost more. */
    int smallestHoleBytes();

    /**
     * What is in a range, as far as this side knows without reading: extents one behind the other from {@code offset} on, at least one,
     * perhaps not to the range's end.
     */
    List<Extent> extents(long offset, long lengthBytes) throws IOException;

    /** The buffer belongs to whoever takes it. */
    CompletableFuture<ByteBuf> read(long offset, int lengthBytes);

    /** Takes {@code data} over. */
    CompletableFuture<Void> write(long offset, ByteBuf data);

    CompletableFuture<Void> writeZeroes(long offset, long lengthBytes);

    /** Makes everything written safe. */
    CompletableFuture<Void> flush();

    @Override
    void close() throws IOException;
}
