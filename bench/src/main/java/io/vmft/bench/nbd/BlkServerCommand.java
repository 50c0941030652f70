package io.vmft.bench.nbd;

import io.vmft.bench.OwnCommand;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** Starts blk-server with this program's own classes and the launcher's JVM options. */
final class BlkServerCommand {
    private BlkServerCommand() {}

    /** A server whose {@code ready} line goes to its standard output. */
    static List<String> of(Place place, List<String> volumes) throws IOException {
        Path data = Files.createDirectories(place.folder().resolve("data-" + place.port()));
        String listen = place.unix() ? "unix:" + place.socket(ServerKind.BLK_SERVER) : Place.HOST + ":" + place.port();
        List<String> arguments =
                new ArrayList<>(List.of("--data", data.toString(), "--listen", listen, "--control", Place.HOST + ":0"));
        volumes.forEach(volume -> arguments.addAll(List.of("--volume", volume)));
        return OwnCommand.BLOCK_SERVER.of(arguments);
    }
}
