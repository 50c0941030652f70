package io.vmft.blk.file;

import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;

/**
 * One open file. Reads and writes are positioned and complete: they move every byte or throw. Thread-safe, except that
 * {@link #close} may only be called when no other call is running. All memory passed in must be native (off-heap) and stays
 * the caller's. Positions and lengths are bytes.
 *
 * <p>{@link io.vmft.blk.export.NoSpaceException} says that the file system is full; any other {@link IOException} that it could
 * not do the work.
 */
public interface StoreFile extends AutoCloseable {
    Path path();

    long sizeBytes() throws IOException;

    /** Fills {@code destination}; a file that ends earlier is an error. */
    void read(long position, MemorySegment destination) throws IOException;

    void write(long position, MemorySegment source) throws IOException;

    /**
     * Writes the pieces one behind the other, in one system call where the system does not split it. If it fails or the process is
     * killed meanwhile, some bytes may be there: those before one place and none behind it.
     */
    void write(long position, WriteVector pieces) throws IOException;

    /** Makes everything written so far durable ({@code fdatasync}). After a failure nothing is known about it. */
    void sync() throws IOException;

    /** Frees the range, which then reads as zeroes; where the file system cannot, writes zeroes. The size stays. */
    void punchHole(long position, long lengthBytes) throws IOException;

    /** Makes the range read as zeroes and keeps its space reserved. The size stays. */
    void zero(long position, long lengthBytes) throws IOException;

    /**
     * Whether {@link #punchHole}, or else {@link #zero}, is the file system's own work rather than writing zeroes. Found out by trying,
     * once; false where it cannot be known before it was done.
     */
    boolean zeroesFast(boolean punchHole);

    /**
     * Where data begins, at or after {@code position}: before that the file reads as zeroes and takes no space. {@code position} itself where
     * the file system does not tell, the file's size if no data follows.
     */
    long nextData(long position) throws IOException;

    /** Where a hole begins, at or after {@code position}; the file's size if there is none or the file system does not tell. */
    long nextHole(long position) throws IOException;

    /** Asks the system to have the range in memory soon. A hint: it does not wait, nor fail. */
    void readAhead(long position, long lengthBytes);

    /** Reserves space for the range and extends the file to its end. */
    void reserve(long position, long lengthBytes) throws IOException;

    /** Cuts the file or extends it by a hole. */
    void setSize(long sizeBytes) throws IOException;

    /** Closing again does nothing. */
    @Override
    void close() throws IOException;
}
