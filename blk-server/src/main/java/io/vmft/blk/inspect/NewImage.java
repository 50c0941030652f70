package io.vmft.blk.inspect;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;

import io.vmft.blk.file.StoreFile;
import io.vmft.blk.file.StoreFiles;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/**
 * A raw image that comes into being: sparse, under another name beside its own until it is whole and durable. Not thread-safe, but for
 * {@link #close}.
 */
public final class NewImage implements AutoCloseable {
    /** What is nothing but zeroes, in pieces of this size, stays a hole. */
    private static final int HOLE_BYTES = 64 << 10;

    private final StoreFiles files;
    private final Path target;
    private final Path partial;
    private final StoreFile file;
    private boolean done;

    private NewImage(StoreFiles files, Path target, Path partial, StoreFile file) {
        this.files = files;
        this.target = target;
        this.partial = partial;
        this.file = file;
    }

    /**
     * Begins one.
     *
     * @throws IOException with one line for the operator, also if there is a file of that name
     */
    public static NewImage begin(StoreFiles files, Path target, long sizeBytes) throws IOException {
        Path whole = check(target);
        Path folder = folder(whole);
        Path partial = folder.resolve("." + whole.getFileName() + ".partial");
        StoreFile file;
        try {
            Files.deleteIfExists(partial);
            file = files.open(partial, StoreFiles.Access.CREATE);
        } catch (IOException e) {
            throw new IOException("--to " + target + " cannot be written (" + e.getMessage() + "); name another", e);
        }
        NewImage image = new NewImage(files, whole, partial, file);
        try {
            file.setSize(sizeBytes);
            return image;
        } catch (IOException e) {
            image.close();
            throw e;
        }
    }

    /**
     * Refuses what is there, or cannot be.
     *
     * @return the whole path
     */
    public static Path check(Path target) throws IOException {
        Path whole = target.toAbsolutePath().normalize();
        Path folder = folder(whole);
        if (!Files.isDirectory(folder)) {
            throw new IOException("--to " + target + ": there is no folder " + folder + "; make it, or name another");
        }
        if (Files.exists(whole)) {
            throw new IOException("--to " + target + " is there already; remove it, or name another file");
        }
        return whole;
    }

    private static Path folder(Path whole) {
        return Objects.requireNonNullElse(whole.getParent(), whole);
    }

    /** Also if the process is ended by a signal before it was finished, nothing is left of it. */
    public void removeOnExit() {
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().unstarted(() -> {
            try {
                close();
            } catch (IOException e) {
                // The process ends; the name says what the rest of the file is.
            }
        }));
    }

    /** Puts bytes there; zeroes stay holes. */
    public void write(long offset, MemorySegment data) throws IOException {
        for (long at = 0; at < data.byteSize(); ) {
            long end = Math.min(data.byteSize(), at + HOLE_BYTES - (offset + at) % HOLE_BYTES);
            MemorySegment piece = data.asSlice(at, end - at);
            if (!isZero(piece)) {
                file.write(offset + at, piece);
            }
            at = end;
        }
    }

    private static boolean isZero(MemorySegment piece) {
        long words = piece.byteSize() / 8 * 8;
        for (long at = 0; at < words; at += 8) {
            if (piece.get(JAVA_LONG_UNALIGNED, at) != 0) {
                return false;
            }
        }
        for (long at = words; at < piece.byteSize(); at++) {
            if (piece.get(JAVA_BYTE, at) != 0) {
                return false;
            }
        }
        return true;
    }

    /** Makes it durable and gives it its name. */
    public void finish() throws IOException {
        file.sync();
        synchronized (this) {
            if (done) {
                throw new IOException(target + " was given up");
            }
            Files.move(partial, target);
            done = true;
        }
        files.syncDirectory(Objects.requireNonNull(target.getParent()));
    }

    /** If it was not finished nothing is left of it. */
    @Override
    public synchronized void close() throws IOException {
        if (!done) {
            Files.deleteIfExists(partial);
            done = true;
        }
        file.close();
    }
}
