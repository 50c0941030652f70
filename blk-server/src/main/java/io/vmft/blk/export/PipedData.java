package io.vmft.blk.export;

/**
 * Bytes that lie in the kernel, which can put them into a file without this process seeing them. They are used up, from the first on.
 * Confined to whoever holds them.
 */
public interface PipedData {
    /** How many are left. */
    int lengthBytes();

    /**
     * Moves some, from the first on, into a file, which may block as {@code pwrite(2)} may.
     *
     * @param fd open for writing
     * @return how many; or {@code -errno}, then none
     */
    long moveTo(int fd, long position);
}
