package io.vmft.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/** The storage host: a block server with the VM's one volume, and others that are asked for. */
final class Storage {
    static final int NBD_PORT = 10809;
    static final int CONTROL_PORT = 10810;

    private final Lab lab;
    private final Workplace place;
    private final List<String> options;
    private final List<String> volumes = new ArrayList<>();
    private int starts;

    Storage(Lab lab, Workplace place, Path image) {
        this(lab, place, image, List.of());
    }

    /** One that is started with more options. */
    Storage(Lab lab, Workplace place, Path image, List<String> options) {
        this.lab = lab;
        this.place = place;
        this.options = options;
        this.volumes.add(Demo.VM + "=" + image);
    }

    /** From the next start on it has one more volume. */
    void serve(String volume) {
        volumes.add(volume);
    }

    /** Starts it, on what an earlier one left; {@link Daemon#awaitReady} waits for it. */
    Daemon start() throws DemoException, InterruptedException {
        return start(List.of());
    }

    /** As {@link #start}, and it finds that the host was booted since. */
    Daemon startAfterPowerLoss() throws DemoException, InterruptedException {
        Path bootId = place.folder().resolve("boot-id-" + starts);
        try {
            Files.writeString(bootId, UUID.randomUUID() + "\n");
        } catch (IOException e) {
            throw new DemoException(bootId + " cannot be written: " + e.getMessage(), e);
        }
        // "ip netns exec" gives it a mount namespace of its own: nobody else sees this.
        return start(List.of(
                "sh", "-c", "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"", bootId.toString()));
    }

    private Daemon start(List<String> through) throws DemoException, InterruptedException {
        starts++;
        Path data = place.folder().resolve("storage");
        try {
            Files.createDirectories(data);
        } catch (IOException e) {
            throw new DemoException(data + " cannot be made: " + e.getMessage(), e);
        }
        List<String> arguments = new ArrayList<>(List.of(
                "--data",
                data.toString(),
                "--listen",
                Lab.STORAGE_ADDRESS + ":" + NBD_PORT,
                "--control",
                Lab.STORAGE_ADDRESS + ":" + CONTROL_PORT));
        volumes.forEach(volume -> arguments.addAll(List.of("--volume", volume)));
        arguments.addAll(options);
        return place.add(() -> Daemon.start(
                "blk-server",
                lab.namespace("s"),
                through,
                place.folder().resolve("logs/storage-" + starts + ".log"),
                "io.vmft.blk.server.BlkServerMain",
                arguments));
    }
}
