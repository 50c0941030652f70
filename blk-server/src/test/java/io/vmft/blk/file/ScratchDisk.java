package io.vmft.blk.file;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.vmft.blk.nbd.Tool;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.awaitility.Awaitility;
import org.jspecify.annotations.Nullable;

/**
 * A small ext4 of its own on a loop device, with the faults of a real one: it fills up, its device fails, it turns read-only. Needs root;
 * tests are skipped without.
 */
public final class ScratchDisk implements AutoCloseable {
    private static final int BLOCK_BYTES = 4096;

    private interface Step {
        void undo() throws IOException, InterruptedException;
    }

    private final Path folder;
    private final Deque<Step> undo = new ArrayDeque<>();
    /** What the kernel does with an error in the file system's own structures. */
    private final String onErrors;

    private @Nullable Path device;

    private ScratchDisk(Path folder, String onErrors) {
        this.folder = folder;
        this.onErrors = onErrors;
    }

    /** One that is as large as it says and works. */
    public static ScratchDisk create(Path folder, long sizeBytes) throws Exception {
        ScratchDisk disk = new ScratchDisk(Files.createDirectories(folder), "remount-ro");
        disk.make(() -> {
            Path backing = folder.resolve("backing");
            try (RandomAccessFile file = new RandomAccessFile(backing.toFile(), "rw")) {
                file.setLength(sizeBytes);
            }
            disk.attach(backing);
        });
        return disk;
    }

    /** One whose device fails with EIO on demand: nbdkit's error filter, made a file by nbdfuse, made a device by a loop device. */
    public static ScratchDisk createFragile(Path folder, long sizeBytes) throws Exception {
        Tool.assumeInstalled("nbdkit", "nbdfuse", "fusermount3");
        assumeTrue(Files.isWritable(Path.of("/dev/fuse")), "/dev/fuse cannot be opened");
        ScratchDisk disk = new ScratchDisk(Files.createDirectories(folder), "continue");
        disk.make(() -> disk.attach(disk.serveFragile(sizeBytes)));
        return disk;
    }

    private interface Making {
        void run() throws Exception;
    }

    private void make(Making attaching) throws Exception {
        assumeTrue(
                Files.isWritable(Path.of("/dev/loop-control")), "/dev/loop-control cannot be opened: no loop device");
        Tool.assumeInstalled("losetup", "mkfs.ext4", "mount", "fsck.ext4");
        try {
            attaching.run();
            // Without a journal of its own a failed device fails what is written to it, and not the whole file system.
            Tool.ok("mkfs.ext4", "-q", "-O", "^has_journal", "-m", "0", device().toString());
            Files.createDirectories(path());
            mount();
        } catch (Exception | AssertionError e) {
            close();
            throw e;
        }
    }

    private Path serveFragile(long sizeBytes) throws Exception {
        Path socket = folder.resolve("sock");
        Path mounted = Files.createDirectories(folder.resolve("fuse"));
        Process nbdkit = daemon(
                "nbdkit",
                "-f",
                "-U",
                socket.toString(),
                "--filter=error",
                "memory",
                Long.toString(sizeBytes),
                "error=EIO",
                "error-rate=100%",
                "error-file=" + trigger());
        undo.push(() -> end(nbdkit));
        Awaitility.await().until(() -> Files.exists(socket));
        Process nbdfuse = daemon("nbdfuse", mounted.toString(), "nbd+unix:///?socket=" + socket);
        undo.push(() -> {
            Tool.run("fusermount3", "-u", mounted.toString());
            end(nbdfuse);
        });
        Path file = mounted.resolve("nbd");
        Awaitility.await().until(() -> Files.exists(file));
        return file;
    }

    private Process daemon(String... command) throws IOException {
        return new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        folder.resolve("daemons.log").toFile()))
                .start();
    }

    private static void end(Process process) throws InterruptedException {
        process.destroy();
        if (!process.waitFor(10, TimeUnit.SECONDS)) {
            process.destroyForcibly();
        }
    }

    private void attach(Path backing) throws Exception {
        // Direct, so that an error of what is below is one of the request that met it.
        Tool.Result attached = Tool.run("losetup", "--find", "--show", "--direct-io=on", backing.toString());
        assumeTrue(attached.exitStatus() == 0, "no loop device can be made: " + attached.output());
        device = Path.of(attached.output().lines().reduce("", (_, last) -> last).strip());
        undo.push(() -> Tool.ok("losetup", "--detach", device().toString()));
    }

    private void mount() throws Exception {
        Tool.ok("mount", "-o", "errors=" + onErrors, device().toString(), path().toString());
        undo.push(() -> Tool.ok("umount", path().toString()));
    }

    private Path device() {
        return Objects.requireNonNull(device);
    }

    /** Where it is mounted. */
    public Path path() {
        return folder.resolve("disk");
    }

    private Path ballast() {
        return path().resolve("ballast");
    }

    private Path trigger() {
        return folder.resolve("fail");
    }

    /** Takes all the room there is left. */
    public void fill() throws IOException {
        byte[] block = new byte[BLOCK_BYTES];
        try (OutputStream out = Files.newOutputStream(ballast())) {
            while (true) {
                out.write(block);
            }
        } catch (IOException e) {
            if (!String.valueOf(e.getMessage()).contains("No space left")) {
                throw e;
            }
        }
    }

    /** Gives the room back that {@link #fill} took. */
    public void makeRoom() throws IOException {
        Files.delete(ballast());
    }

    /** From now on its device fails every request. */
    public void fail() throws IOException {
        Files.createFile(trigger());
    }

    public void heal() throws IOException {
        Files.delete(trigger());
    }

    /** What the kernel does when it finds the file system damaged: it is read-only from now on, files that are open for writing too. */
    public void turnReadOnly() throws IOException {
        Files.writeString(Path.of("/sys/fs/ext4", device().getFileName().toString(), "trigger_fs_error"), "a test");
    }

    /** Nobody uses it: what an operator does then. */
    public void repair() throws Exception {
        undo.pop().undo();
        Tool.Result checked = Tool.run("fsck.ext4", "-fy", device().toString());
        if (checked.exitStatus() > 1) {
            throw new AssertionError(checked.output());
        }
        mount();
    }

    @Override
    public void close() throws IOException {
        Files.deleteIfExists(trigger());
        while (!undo.isEmpty()) {
            try {
                undo.pop().undo();
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new IOException("interrupted; " + folder + " may still be mounted", e);
            }
        }
    }
}
