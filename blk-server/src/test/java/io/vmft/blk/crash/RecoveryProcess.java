package io.vmft.blk.crash;

import io.vmft.blk.server.BlkServer;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;

/** Starts and ends a server on the folder it is given, each time it is told to, in this process, which is traced. */
final class RecoveryProcess {
    private RecoveryProcess() {}

    public static void main(String[] arguments) throws Exception {
        Path disk = Path.of(arguments[0]);
        BufferedReader orders = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try (Quiet _ = new Quiet()) {
            for (String order = orders.readLine(); order != null; order = orders.readLine()) {
                BlkServer.start(Recording.config(disk, "boot 2")).settleAndClose(Duration.ofSeconds(10));
                System.out.println("done");
            }
        }
    }
}
