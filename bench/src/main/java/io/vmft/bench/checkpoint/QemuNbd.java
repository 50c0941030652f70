package io.vmft.bench.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** QEMU's own NBD server with the guest's disk, as an unprotected VM would use it. */
final class QemuNbd {
    private static final int PORT = 10820;
    private static final int START_SECONDS = 20;
    private static final int POLL_MILLIS = 50;

    private QemuNbd() {}

    /** Serves a fresh copy of the disk under this name; returns the address. */
    static String serve(Ground ground, String export) throws IOException, InterruptedException {
        Path image = ground.folder().resolve("qemu-nbd.img");
        Ground.command("cp", "--sparse=always", Artifacts.linuxDisk().toString(), image.toString());
        Process server = new ProcessBuilder(ground.inside(List.of(
                        "qemu-nbd",
                        "--persistent",
                        "--shared=4",
                        "--format=raw",
                        "--bind=127.0.0.1",
                        "--port=" + PORT,
                        "--export-name=" + export,
                        image.toString())))
                .redirectErrorStream(true)
                .redirectOutput(ground.folder().resolve("qemu-nbd.log").toFile())
                .start();
        ground.add(() -> server.destroyForcibly().waitFor());
        String address = "127.0.0.1:" + PORT;
        List<String> probe = ground.inside(List.of("nbdinfo", "--size", "nbd://" + address + "/" + export));
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(START_SECONDS);
        while (new ProcessBuilder(probe)
                        .redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                        .start()
                        .waitFor()
                != 0) {
            if (!server.isAlive() || System.nanoTime() > deadline) {
                throw new IOException("qemu-nbd does not answer on " + address + "; is qemu-utils installed?");
            }
            Thread.sleep(POLL_MILLIS);
        }
        return address;
    }
}
