package io.vmft.bench.nbd;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Starts blk-server with this program's own classes and the launcher's JVM options. */
final class BlkServerCommand {
    /** The launcher says here with what options it starts a blk-server. */
    private static final String JVM_OPTIONS = "VMFT_STORAGE_JVM";

    private BlkServerCommand() {}

    /** A server whose {@code ready} line goes to its standard output. */
    static List<String> of(Place place, List<String> volumes) throws IOException {
        Path data = Files.createDirectories(place.folder().resolve("data-" + place.port()));
        String listen = place.unix() ? "unix:" + place.socket(ServerKind.BLK_SERVER) : Place.HOST + ":" + place.port();
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"));
        String options = System.getenv().getOrDefault(JVM_OPTIONS, "");
        Arrays.stream(options.split(" ", -1))
                .filter(option -> !option.isBlank())
                .forEach(command::add);
        command.addAll(List.of("-cp", System.getProperty("java.class.path")));
        command.addAll(List.of("io.vmft.blk.server.BlkServerMain", "--data", data.toString(), "--listen", listen));
        command.addAll(List.of("--control", Place.HOST + ":0"));
        volumes.forEach(volume -> command.addAll(List.of("--volume", volume)));
        return command;
    }
}
