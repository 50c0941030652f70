package io.vmft.kvm;

import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;

/**
 * What a {@link Tracker} and the library in its QEMU agree on.
 *
 * @param controlSocket where the tracker listens; a unix socket path of at most {@value #MAX_SOCKET_PATH_BYTES} bytes
 * @param stagingFile shared with QEMU, made by the tracker; it should lie on tmpfs, because all of it is held in memory
 * @param stateFile where the state goes that QEMU is told to save into {@link Tracker#STATE_NAME}
 * @param ramFile the {@code mem-path} of QEMU's {@code memory-backend-file,share=on}; it may be made later, by QEMU
 * @param ramBytes guest RAM, a multiple of {@value #PAGE_BYTES}
 * @param blocksFile made by the tracker, sparse; what the guest sees of memory beside its RAM file lies in it
 * @param blocksBytes how long that file is: room for all such memory
 * @param slots how many batches of dirty pages may wait for the engine at a time, 1 to {@value #MAX_SLOTS}
 * @param pagesPerSlot pages in a batch, 1 to {@value #MAX_PAGES_PER_SLOT}
 * @param pauseTimeout how long one pause may wait for free slots before its checkpoint is void
 */
public record TrackerConfig(
        Path controlSocket,
        Path stagingFile,
        Path stateFile,
        Path ramFile,
        long ramBytes,
        Path blocksFile,
        long blocksBytes,
        int slots,
        int pagesPerSlot,
        Duration pauseTimeout) {

    /** Bytes in a page, on both sides. */
    public static final int PAGE_BYTES = 4096;

    /** Small enough that the control socket's buffer holds every message that can be under way. */
    public static final int MAX_SLOTS = 128;

    /** So that a slot's pages are less than 1 GiB. */
    public static final int MAX_PAGES_PER_SLOT = 1 << 17;

    /** {@code sizeof(sockaddr_un.sun_path)} less its end. */
    public static final int MAX_SOCKET_PATH_BYTES = 107;

    /** 16 TiB: what a bitmap of less than 2³² bits can describe. */
    public static final long MAX_RAM_BYTES = 1L << 43;

    /** As {@code vmft.h} has it. */
    public static final long MAX_BLOCKS_BYTES = 1L << 40;

    private static final Duration MAX_PAUSE_TIMEOUT = Duration.ofMinutes(1);

    public TrackerConfig {
        controlSocket = absolute(controlSocket, "controlSocket");
        stagingFile = absolute(stagingFile, "stagingFile");
        stateFile = absolute(stateFile, "stateFile");
        ramFile = absolute(ramFile, "ramFile");
        blocksFile = absolute(blocksFile, "blocksFile");
        Objects.requireNonNull(pauseTimeout, "pauseTimeout");
        int socketPathBytes = controlSocket.toString().getBytes(StandardCharsets.UTF_8).length;
        if (socketPathBytes > MAX_SOCKET_PATH_BYTES) {
            throw new IllegalArgumentException("control socket path " + controlSocket + " has " + socketPathBytes
                    + " bytes; a unix socket path may have " + MAX_SOCKET_PATH_BYTES);
        }
        if (ramBytes <= 0 || ramBytes % PAGE_BYTES != 0 || ramBytes > MAX_RAM_BYTES) {
            throw new IllegalArgumentException("guest RAM of " + ramBytes + " bytes; it must be a multiple of "
                    + PAGE_BYTES + " up to " + MAX_RAM_BYTES);
        }
        if (blocksBytes < 0 || blocksBytes % PAGE_BYTES != 0 || blocksBytes > MAX_BLOCKS_BYTES) {
            throw new IllegalArgumentException(
                    "room of " + blocksBytes + " bytes for memory beside guest RAM; it must be a " + "multiple of "
                            + PAGE_BYTES + " up to " + MAX_BLOCKS_BYTES);
        }
        if (slots < 1 || slots > MAX_SLOTS) {
            throw new IllegalArgumentException("slots " + slots + "; it must be 1 to " + MAX_SLOTS);
        }
        if (pagesPerSlot < 1 || pagesPerSlot > MAX_PAGES_PER_SLOT) {
            throw new IllegalArgumentException(
                    "pages per slot " + pagesPerSlot + "; it must be 1 to " + MAX_PAGES_PER_SLOT);
        }
        if (!pauseTimeout.isPositive() || pauseTimeout.compareTo(MAX_PAUSE_TIMEOUT) > 0) {
            throw new IllegalArgumentException(
                    "pause timeout " + pauseTimeout + "; it must be positive and at most " + MAX_PAUSE_TIMEOUT);
        }
    }

    /** Pages of guest RAM. */
    public long ramPages() {
        return ramBytes / PAGE_BYTES;
    }

    /** Pages that bitmaps have room for. */
    long capacityPages() {
        return (ramBytes + blocksBytes) / PAGE_BYTES;
    }

    private static Path absolute(Path path, String name) {
        return Objects.requireNonNull(path, name).toAbsolutePath();
    }
}
