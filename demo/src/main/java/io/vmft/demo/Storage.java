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

    /** Starts it; {@link Daemon#awaitReady} waits for it. Its journal and its log lie below {@code folder}. */
    static Daemon start(Lab lab, Path folder, Path image) throws DemoException {
        Path data = folder.resolve("storage");
        try {
            Files.createDirectory(data);
        } catch (IOException e) {
            throw new DemoException(data + " cannot be made: " + e.getMessage(), e);
        }
        return Daemon.start(
                "blk-server",
                lab.namespace("s"),
                folder.resolve("logs/storage.log"),
                "io.vmft.blk.server.BlkServerMain",
                List.of(
                        "--data",
                        data.toString(),
                        "--listen",
                        Lab.STORAGE_ADDRESS + ":" + NBD_PORT,
                        "--control",
                        Lab.STORAGE_ADDRESS + ":" + CONTROL_PORT,
                        "--volume",
                        Demo.VM + "=" + image));
    }
}
