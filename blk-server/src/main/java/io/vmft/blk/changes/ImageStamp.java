package io.vmft.blk.changes;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * What tells that an image is the same file, and that nobody else wrote to it.
 *
 * @param device and {@code inode}: which file it is
 * @param sizeBytes of the volume
 * @param changedNanos when its content last changed, since 1970
 */
public record ImageStamp(long device, long inode, long sizeBytes, long changedNanos) {
    /** Of an image as it is now; follows links, opens nothing. */
    public static ImageStamp of(Path image, long sizeBytes) throws IOException {
        Map<String, Object> found = Files.readAttributes(image, "unix:dev,ino,lastModifiedTime");
        return new ImageStamp(
                ((Number) found.getOrDefault("dev", 0L)).longValue(),
                ((Number) found.getOrDefault("ino", 0L)).longValue(),
                sizeBytes,
                found.get("lastModifiedTime") instanceof FileTime time ? time.to(TimeUnit.NANOSECONDS) : 0);
    }

    boolean isSameFile(ImageStamp other) {
        return device == other.device && inode == other.inode && sizeBytes == other.sizeBytes;
    }
}
