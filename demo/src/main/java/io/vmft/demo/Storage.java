package io.vmft.demo;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The storage host: a block server with the VM's one volume. */
final class Storage {
    static final int NBD_PORT = 10809;
    static final int CONTROL_PORT = 10810;

    private Storage() {}

    /** Starts it; {@link Daemon#awaitReady} waits for it. Its journal and its log lie in the run's folder. */
    static Daemon start(Lab lab, Workplace place, Path image) throws DemoException, InterruptedException {
        Path data = place.folder().resolve("storage");
        try {
            Files.createDirectory(data);
        } catch (IOException e) {
            throw new DemoException(data + " cannot be made: " + e.getMessage(), e);
        }
        return place.add(() -> Daemon.start(
                "blk-server",
                lab.namespace("s"),
                place.folder().resolve("logs/storage.log"),
                "io.vmft.blk.server.BlkServerMain",
                List.of(
                        "--data",
                        data.toString(),
                        "--listen",
                        Lab.STORAGE_ADDRESS + ":" + NBD_PORT,
                        "--control",
                        Lab.STORAGE_ADDRESS + ":" + CONTROL_PORT,
                        "--volume",
                        Demo.VM + "=" + image)));
    }
}
