package io.vmft.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.awaitility.Awaitility;

/**
 * fio on a volume: as fast as it goes, pass after pass, each of which writes all of it at random and reads all of it back. fio's NBD engine
 * does not connect again, so it goes through qemu-nbd, which does, with the NBD client of QEMU.
 */
final class FioLoad {
    static final String VOLUME = "fio";
    private static final String SIZE = "48M";

    private final Lab lab;
    private final Path folder;
    private final Path socket;
    private final AtomicInteger passes = new AtomicInteger();
    private final CompletableFuture<Void> end = new CompletableFuture<>();
    private final Process server;
    private volatile boolean stopping;

    /** What the block server is asked to serve for it. */
    static String volume(Path folder) {
        return VOLUME + "=" + folder.resolve("fio.img") + ",create=" + SIZE;
    }

    /** Starts it on the client's machine. Whoever removes the workplace ends what is left. */
    FioLoad(Lab lab, Path folder) throws IOException {
        this.lab = lab;
        this.folder = folder;
        this.socket = folder.resolve("fio.sock");
        this.server = launch(
                "qemu-nbd",
                "--persistent",
                "--shared=4",
                "--socket=" + socket,
                "--image-opts",
                "driver=raw,file.driver=nbd,file.server.type=inet,file.server.host=" + Lab.STORAGE_ADDRESS
                        + ",file.server.port=" + Storage.NBD_PORT + ",file.export=" + VOLUME
                        + ",file.reconnect-delay=600");
        Awaitility.await().atMost(BusyVm.PATIENCE).until(() -> {
            if (!server.isAlive()) {
                throw new AssertionError("qemu-nbd ended, see fio.log");
            }
            return Files.exists(socket);
        });
        Thread.ofPlatform().daemon().name("fio").start(this::run);
    }

    private Process launch(String... command) throws IOException {
        List<String> all = new ArrayList<>(List.of("ip", "netns", "exec", lab.namespace("c")));
        all.addAll(List.of(command));
        return new ProcessBuilder(all)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        folder.resolve("logs/fio.log").toFile()))
                .start();
    }

    private void run() {
        try {
            while (!stopping) {
                int pass = passes.get() + 1;
                Process fio = launch(
                        "fio",
                        "--name=pass",
                        "--ioengine=nbd",
                        "--uri=nbd+unix:///?socket=" + socket,
                        "--rw=randwrite",
                        "--bsrange=4k-64k",
                        "--bs_unaligned=0",
                        "--iodepth=16",
                        "--size=" + SIZE,
                        "--fsync=64",
                        "--verify=crc32c",
                        "--verify_state_save=0",
                        "--verify_backlog=256",
                        "--verify_fatal=1",
                        "--randseed=" + pass);
                int status = fio.waitFor();
                if (status != 0) {
                    throw new AssertionError("fio ended pass " + pass + " with status " + status + ", see fio.log");
                }
                passes.incrementAndGet();
            }
            end.complete(null);
        } catch (IOException | InterruptedException | AssertionError e) {
            end.completeExceptionally(e);
        }
    }

    /** Fails if fio has found something that is not what it wrote. */
    void check() {
        if (end.isCompletedExceptionally()) {
            end.join();
        }
    }

    /** Lets it finish its pass; how many there were. */
    int stop() throws Exception {
        stopping = true;
        end.get(BusyVm.PATIENCE.toSeconds(), TimeUnit.SECONDS);
        server.destroy();
        return passes.get();
    }
}
